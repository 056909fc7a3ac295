"""What a party can do about a refusal whose place in the code does not say so: by code, else by family.

Runs in: a party.   Believes: nothing.   Spec: §1.
"""

from __future__ import annotations

from typing import Final

from sealroom.protocol.errors import SealroomError

_BY_CODE: Final = {
    "E1.gateway-answer": "look again; if it stays so, the gateway is broken or something changes its answers",
    "E2.ledger-broken": "restore the newest copy; do not run a broker on this one",
    "E2.log-forked": "nothing was let go; keep this home's `log/`, which proves that another log was shown before; if "
    "the gateway was restored from an older backup, all agree anew",
    "E2.log-lacks": "nothing was let go; the gateway took a statement, or shows one, and left it out of its log",
    "E2.log-not-included": "nothing was let go; the gateway's proof does not hold: ask its operator",
    "E2.log-other-checkpoint": "nothing was let go; the enclave knows another log than you: compare with owners",
    "E2.log-other-entry": "nothing was let go; what the gateway shows of its log is not what it signed",
    "E2.log-shrank": "nothing was let go; the gateway lost entries of its log: if it was restored, all agree anew",
    "E2.log-withheld": "nothing was let go; ask the operator why its gateway does not show what it signed",
    "E2.other-run": "nothing was let go; ask the operator why its gateway shows one run under another's name",
    "E2.stranger": "nothing was let go; somebody who is no party, or another gate than the attested one, signed this",
    "E2.signature": "nothing was let go; this was altered after it was signed, or signed by somebody else",
    "E3.agreement-expired": "agree on a new version",
    "E3.approval-gone": "the release was refused; approve the measurement again, or leave it so",
    "E3.measurement": "another program was launched than all of you approve; measure the image, then approve it or not",
    "E3.missing-offer": "the gateway holds offers back or adds some; nothing was answered, ask the operator",
    "E3.missing-grant": "a completed run that leaves out a grant of yours was not the one that you granted to",
    "E3.launcher": "the program was launched in another way than was agreed; ask the operator",
    "E3.no-challenge": "nothing was let go; the run has to be asked for anew",
    "E3.other-run": "nothing was let go; the gateway mixes runs up, on purpose or not: ask its operator",
    "E3.other-version": "pin the newest version with `sealroom agreement import`, and ask for the run again",
    "E3.report-data": "nothing was let go; the evidence was made for other keys, another request or another challenge",
    "E3.request-expired": "ask for a new run",
    "E3.root-not-agreed": "compare the root's fingerprint with the operator, and not through the gateway",
    "E3.second-evidence": "a run gets keys once; ask for a new run, and ask the operator why it launched twice",
    "E3.stopped": "a party has ended this agreement; nothing is granted or consented to under it any more",
    "E3.unresolved": "the release was refused, as its receipt came too late; what was charged stays charged: ask anew",
    "E4.cannot-open": "nothing was charged for it; a ciphertext, key or share was altered, or made for something else",
}
_BY_FAMILY: Final = {
    "E1": "what came from outside cannot be read; look again, and if it stays so, ask the operator",
    "E2": "nothing was let go; what is signed does not hold: compare it with its signer, not through the gateway",
    "E3": "nothing was let go for this; it is not what was agreed: ask the other parties and the operator",
    "E4": "it does not open; it was altered, or made for something else",
    "E5": "nothing was released; the owners find the reason in the run's receipt",
}
_OTHERWISE: Final = "look again later; if it stays so, ask the operator"


def of(error: SealroomError) -> str:
    """The error's own hint, else the advice for its code, else that for its family."""
    code = str(getattr(error, "code", ""))
    return error.hint or _BY_CODE.get(code) or _BY_FAMILY.get(code.partition(".")[0]) or _OTHERWISE
