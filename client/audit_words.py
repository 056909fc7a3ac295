"""What an audited history says, for people and for programs: who was granted which key when, and what became of it.

Runs in: whoever audits.   Believes: a history that was verified.   Spec: §13.6.
"""

from __future__ import annotations

from collections.abc import Iterator

from sealroom.client import plain, words
from sealroom.client.audit import Audited
from sealroom.client.history import RunHistory

Fact = dict[str, object]


def facts(found: Audited) -> list[Fact]:
    """Grants, refusals, releases and ends, run by run in the order of the log; times are each signer's own."""
    return [fact for run in found.history.runs.values() for fact in _of(run, found)]


def document(found: Audited) -> dict[str, object]:
    """The whole for programs."""
    pinned = found.history.agreement
    return {
        "agreement": pinned.id, "version": pinned.version, "entries": found.head.size, "root": found.head.root.hex(),
        "platform_class": pinned.agreement.platform_class, "runs": len(found.history.runs),
        "receipts": len(found.receipts), "facts": facts(found),
        "cosigned": {party: {"entries": size, "at": at} for party, (size, at) in found.cosigned.items()},
    }  # fmt: skip


def lines(found: Audited) -> list[str]:
    """The whole for a person; the platform's worth comes first."""
    pinned = found.history.agreement
    said = [
        words.PLATFORMS[pinned.agreement.platform_class],
        f"agreement: {pinned.agreement.title} ({pinned.id[:12]}, version {pinned.agreement.sequence})",
        f"log: {found.head.size} entries, root {found.head.root.hex()[:16]}, by the key of {pinned.agreement.operator}",
    ]
    for party in (member.name for member in pinned.agreement.parties):
        size, at = found.cosigned.get(party, (0, 0))
        said.append(
            f"cosigned by {party}: the first {size} entries, {plain.date(at)}" if size else f"NOT cosigned by {party}"
        )
    said += [f"{plain.date(stop.created)}  {stop.party} stopped the agreement" for stop in found.history.stops]
    said += [_line(fact) for fact in facts(found)]
    runs = len(found.history.runs)
    said.append(f"holds: {runs} runs, {len(found.receipts)} receipts, nothing removed, moved, doubled or forged")
    return said


def _of(run: RunHistory, found: Audited) -> Iterator[Fact]:
    name, request = run.request.digest, run.request.request
    yield {
        "what": "asked",
        "run": name,
        "at": request.created,
        "party": request.requester,
        "rules": list(request.rules),
    }
    names = {digest: item for item, digest in request.objects.items()}
    for _, grant in run.grants.values():
        accepted = found.accepted[name]
        yield {
            "what": "granted", "run": name, "at": grant.created, "party": grant.party, "object": names[grant.object],
            "manifest": grant.object, "measurement": accepted.verdict.measurement, "evidence": grant.evidence,
            "bits": grant.charged.bits,
        }  # fmt: skip
    for _, refusal in run.refusals.values():
        yield {"what": "declined", "run": name, "at": refusal.created, "party": refusal.party}
    verified = found.receipts.get(name)
    if verified is None:
        return
    yield {
        "what": "ended", "run": name, "status": verified.receipt.receipt.status, "final": verified.final,
        "receipt": verified.receipt.envelope.digest, "cosigned": list(verified.cosigned),
    }  # fmt: skip
    for item in verified.releases:
        offer = item.offer.offer
        yield {
            "what": item.fate, "run": name, "rule": offer.rule, "recipient": offer.recipient,
            "guarantee": offer.guarantee, "epsilon": offer.cost.epsilon, "bits": offer.cost.bits,
            "said": dict(item.said),
        }  # fmt: skip


def _line(fact: Fact) -> str:
    """One fact for a person."""
    run, at, what = str(fact["run"])[:12], fact.get("at"), fact["what"]
    head = f"{plain.date(at) if isinstance(at, int) else ' ' * 17}  run {run}  "
    if what == "granted":
        return (
            f"{head}{fact['party']} granted the key of {fact['object']} to program {str(fact['measurement'])[:16]}..."
        )
    if what == "asked":
        return f"{head}{fact['party']} asked for {plain.names([str(r) for r in _list(fact['rules'])])}"
    if what == "declined":
        return f"{head}{fact['party']} refused the run; the owners can read why"
    if what == "ended":
        return f"{head}the enclave's receipt: {fact['status']}" + ("" if fact["final"] else ", NOT FINAL")
    said = fact["said"]
    answers = ", ".join(f"{p} {w}" for p, w in sorted(said.items())) if isinstance(said, dict) else ""
    return f"{head}{what}: {fact['rule']} to {fact['recipient']} ({answers or 'nobody answered'})"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
