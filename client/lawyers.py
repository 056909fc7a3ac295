"""The two pages "what leaves, to whom", from any agreement, for people who read contracts rather than code.

Runs in: a party.   Believes: an agreement that was checked.   Spec: §4.4.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sealroom.client import plain
from sealroom.protocol.agreement import Agreement

WIDTH: Final = 110
_SIMULATED: Final = """\
The agreed machine is SIMULATED. Its attestation is made by software that the operator runs.
It shows how an honest operator's machine treats a dishonest party, dishonest code or a listener on the network. It \
protects nothing from the operator, who can read all data and code and can forge any receipt.
Do not bring data under this agreement that the operator may not see."""
_HARDWARE: Final = """\
The agreed machine is confidential hardware (AMD SEV-SNP): memory is encrypted, and the processor signs what it \
started.
The operator cannot read data or code and cannot forge a receipt. Not covered: whoever opens the machine and taps its \
wires, whoever has extracted keys of the processor's maker, and what can be guessed from times, sizes and memory use \
by an operator that works together with the owner of the code.
This version of the software cannot start a run on such a machine yet: every owner's broker refuses it a key."""
_MACHINE: Final[Mapping[str, Sequence[str]]] = {
    "simulated": _SIMULATED.splitlines(),
    "confidential-hardware": _HARDWARE.splitlines(),
}
_LANES: Final[Mapping[str, str]] = {
    "query": "is a fixed query, applied person by person",
    "blocks": "is started afresh for each of many small groups of people, and never sees two of them together",
    "whole": "sees whole tables without identifiers",
}
_LIMITS: Final = (
    "The owner of the code may hide information in whatever a rule of class C lets through, up to the stated bits.",
    "A rule of class F limits what can be learned about one person; it does not keep facts about groups secret.",
    "What a recipient then does with its list or number is outside the software, and may be visible to others.",
    "The software proves what ran and what left. It does not judge whether the purpose is lawful.",
)


def page(agreement: Agreement, *, agreement_id: str, version: str, signed_by: Sequence[str] | None = None) -> str:
    """The whole text; `signed_by` names the parties whose signatures were verified."""
    parts = [
        f"# What leaves, to whom: {agreement.title}",
        _paragraph(
            f"Agreement {agreement_id[:16]}, version {agreement.sequence} ({version[:16]}). {agreement.purpose}"
        ),
        _paragraph(_validity(agreement) + _signatures(agreement, signed_by)),
        *_section("1. Who takes part", _parties(agreement)),
        *_section("2. The machine, and what it does not protect", _machine(agreement)),
        *_section("3. What goes in", _inputs(agreement)),
        *_section("4. What leaves", _releases(agreement)),
        *_section("5. What everybody concerned may learn anyway", _anyway(agreement)),
        *_section("6. How much in total", _purses(agreement)),
        *_section("7. Consent, approval and stop", _consent(agreement)),
        *_section("8. What this does not promise", _LIMITS),
    ]
    return "\n\n".join(parts) + "\n"


def summary(agreement: Agreement) -> str:
    """A few lines to read before signing: every release and who gets it, the machine, the end."""
    lines = [f"{agreement.title}: version {agreement.sequence}, until {plain.date(agreement.not_after)}."]
    lines.append(_MACHINE[agreement.platform_class][0])
    for rule in agreement.rules:
        to = plain.names(rule.recipients)
        lines += [f"{rule.name} [{rule.guarantee}] to {to}: {plain.rule(agreement, rule)}."]
    return "\n".join(_item(line) for line in lines)


def _validity(agreement: Agreement) -> str:
    return f"It holds from {plain.date(agreement.not_before)} to {plain.date(agreement.not_after)}."


def _signatures(agreement: Agreement, signed_by: Sequence[str] | None) -> str:
    if signed_by is None:
        return " It is a draft; nobody's signature was checked."
    missing = sorted({p.name for p in agreement.parties} - set(signed_by))
    if missing:
        return f" Signed by {plain.names(signed_by)}; still to sign: {plain.names(missing)}."
    return f" Signed by {plain.names(signed_by)}: everybody."


def _parties(agreement: Agreement) -> list[str]:
    lines = []
    for party in agreement.parties:
        owns = [x.name for x in (*agreement.datasets,) if x.owner == party.name]
        owns += [f"{x.name} (code)" for x in agreement.bundles if x.owner == party.name]
        roles = [f"brings {plain.names(owns)}"] if owns else []
        roles += ["runs the machine"] if party.name == agreement.operator else []
        roles += ["may ask for runs"] if party.name in agreement.requesters else []
        gets = [rule.name for rule in agreement.rules if party.name in rule.recipients]
        roles += [f"receives {plain.names(gets)}"] if gets else []
        print_ = plain.party_fingerprint(party.signing_key, party.sealing_key)
        lines.append(f"{party.name}: {plain.names(roles) if roles else 'signs'}. Fingerprint {print_}.")
    lines.append("Compare the fingerprints by telephone or in person; the gateway must not be the one to tell them.")
    return lines


def _machine(agreement: Agreement) -> list[str]:
    lines = list(_MACHINE[agreement.platform_class])
    roots = sorted({root for policy in agreement.platforms for root in policy.roots})
    lines.append(f"Accepted roots of trust (SHA-256): {', '.join(roots)}.")
    lines.append(f"Started by: {plain.names(agreement.launchers)}. Operator: {agreement.operator}.")
    if agreement.accepts_covert_channel:
        who = plain.names(agreement.accepts_covert_channel)
        lines.append(
            f"The operator also owns code here. {who} accepted that together they could see more than this page says."
        )
    return lines


def _inputs(agreement: Agreement) -> list[str]:
    lines = []
    for dataset in agreement.datasets:
        about = "; ".join(plain.columns(dataset))
        lines.append(f"{dataset.name}, of {dataset.owner}, at most {dataset.most_rows:,} rows: {about}.")
    lines += [
        f"{b.name}, code of {b.owner}, hidden from everybody else; it {_LANES[b.lane]}." for b in agreement.bundles
    ]
    return lines + [plain.link(link) for link in agreement.links]


def _releases(agreement: Agreement) -> list[str]:
    blocks = []
    for rule in agreement.rules:
        lines = [f"**{rule.name}**", *plain.rule_lines(agreement, rule)]
        blocks.append("\n  ".join(_wrapped(line, "    ").lstrip() for line in lines))
    return [*blocks, "Nothing else leaves. A rule that is not in this list does not exist."]


def _anyway(agreement: Agreement) -> list[str]:
    slots = agreement.slots
    query = "at once" if slots.query == 0 else f"at full multiples of {plain.duration(slots.query)}"
    owning = [*(d.owner for d in agreement.datasets), *(b.owner for b in agreement.bundles)]
    owners = plain.names(dict.fromkeys(owning))
    opaque = plain.duration(slots.opaque)
    everybody = (
        "Every party: who asked for a run, whether it was completed, refused or failed, which rules were offered"
    )
    return [
        f"{everybody}, and who answered how (counted in bits).",
        f"{owners}, who own what goes in: besides, a reason from a closed list for what did not leave (counted too).",
        f"When: results without code show {query} after the start, results of code at full multiples of {opaque} only.",
        f"{agreement.operator}, who runs the machine: sizes and times of everything, and who talks to whom.",
    ]


def _purses(agreement: Agreement) -> list[str]:
    lines = [
        f"{purse.population}, of {purse.owner}: at most epsilon {plain.epsilon(purse.epsilon)}, "
        f"{plain.bits(purse.bits)} bits and {purse.runs} runs for as long as this version holds."
        for purse in agreement.purses
    ]
    return [
        *lines,
        "No purse is refilled unless everybody signs a new version.",
        "Charges are booked before a result opens and are never given back, whatever becomes of the run.",
    ]


def _consent(agreement: Agreement) -> list[str]:
    lines = [
        plain.consent(party.name, party.consent) for party in agreement.parties if _is_affected(agreement, party.name)
    ]
    approvals = agreement.approvals
    must = f", {plain.names(approvals.mandatory)} among them," if approvals.mandatory else ""
    lines.append(
        f"A program may run only if {approvals.threshold} of the {len(agreement.parties)} parties{must} have approved "
        "its measurement; and an owner's keys go only to a program that it approved itself. Each can take its approval "
        "back."
    )
    lines.append("Any party can stop at once and alone: `sealroom stop`. From then on its keys go to no run.")
    lines.append("Every change of this agreement that lets more out needs every signature again.")
    return lines


def _is_affected(agreement: Agreement, name: str) -> bool:
    return any(item.owner == name for item in agreement.datasets) or any(b.owner == name for b in agreement.bundles)


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [f"## {title}", "\n".join(_item(line) for line in lines)]


def _item(text: str) -> str:
    if "\n" in text:
        return f"- {text}"
    return _wrapped(text, "  ", first="- ")


def _wrapped(text: str, indent: str, *, first: str | None = None) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=indent if first is None else first, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _paragraph(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
