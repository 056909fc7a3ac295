"""The words of the demo, and its report: what a manager reads, and what a program reads.

Runs in: the demo.   Believes: what the acts found.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sealroom.client.demo import pair as pairs
from sealroom.client.demo.score import Score

if TYPE_CHECKING:
    from sealroom.client.demo.stage import Stage

WARNING = (
    "The secure processor of this demo is a program on the same machine, so whoever runs the machine can read all "
    "memory and forge any evidence: it protects nobody from the operator. What it does show is the real protocol: the "
    "same "
    "bytes, the same checks and the same refusals as on confidential hardware."
)
OPENING = """
{bank} and {partner} want to know how many customers they share, and {partner} wants to reach those of its
own customers who are most like buyers. Neither will show the other its customers, nor its code.
A third company runs the machine. It is called the operator, and it should learn nothing.

  1  Everybody makes keys. The operator starts a gateway and a secure processor (simulated, see below).
"""
AGREED = """
  2  All three signed one agreement: what may leave, in which form, to whom, at what cost. Both owners
     measured the enclave's image on their own machines and approved it: {measurement}...
"""
BROUGHT = """
  3  Each owner sealed its table on its own machine, the bank its code as well. The operator stores
     ciphertext. The keys stay with the owners' brokers, who give them only to what they approved.
"""
OVERLAP = """
  4  The bank asked for the overlap. Inside the enclave the two lists were matched and counted; noise was
     added before anything left.

        about {count} shared customers ({low} to {high} with 95 % certainty, epsilon {epsilon})
"""
AUDIENCE = """
  5  The bank's hidden code learned what buyers look like and pointed at rows. It never saw a name, and it
     could not write a word: only row positions came out, and the enclave wrote the list.

        to the bank:     {metrics}
        to the partner:  {size} ids of its own customers{lift}
"""
TAMPERED = """
  6  The operator changed one byte of the enclave's code ({file})
     and launched it again. Its measurement changed, and no owner gave it a key:

        {reason}

     The refusal is signed, and in the log: {entries} entries, {runs} runs, proven offline by the bank.
"""


def overlap_words(count: Mapping[str, Any]) -> dict[str, str]:
    """What the overlap release says, for people."""
    low, high = count["interval_95"]
    shown = "too few to show" if count["count"] is None else f"{count['count']:,}"
    return {"count": shown, "low": f"{low:,}", "high": f"{high:,}", "epsilon": _epsilon(count["epsilon_millionths"])}


def audience_words(quality: Mapping[str, int], ids: Sequence[str], found: Score | None) -> dict[str, str]:
    """What the look-alike releases say, for people."""
    names = {"auc_thousandths": "AUC", "lift_thousandths": "lift"}
    metrics = ", ".join(f"{names.get(k, k)} {v / 1000:.2f}" for k, v in sorted(quality.items()) if isinstance(v, int))
    lift = f", with {found.lift:.1f} times as many buyers as among everybody" if found else ""
    return {"metrics": metrics, "size": f"{len(ids):,}", "lift": lift}


def closing(report: Mapping[str, Any], folder: Path) -> str:
    """The last words."""
    special: Sequence[str] = report["special"]
    receipt = "verified offline by both owners" if report["receipt"]["verified"] else "NOT verified"
    return (
        f"\n  Receipts: {receipt}. Platform: {report['platform']['class']}. Launcher: {report['launcher']}.\n"
        "\n  What is special here, and must not be so with real data:\n"
        + "".join(
            f"{textwrap.fill(line, 100, initial_indent='    - ', subsequent_indent='      ')}\n" for line in special
        )
        + "  docs/LIMITATIONS.md says what a simulated platform means.\n\n"
        f"  Look at {folder / 'report.html'}\n"
    )


def report(scene: Stage, found: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
    """Everything that the demo found, in one JSON value."""
    props, pair = scene.props, scene.props.pair
    first, second = found["first"], found["second"]
    overlap = json.loads(first["results"]["overlap"])
    slot = scene.slot()
    return {
        "format": "sealroom/demo-report/v1",
        "title": pair.title,
        "summary": f"{scene.bank.name} and {scene.partner.name} learned what they had agreed to, and nothing else.",
        "seconds": round(seconds, 1),
        "launcher": props.launcher,
        "platform": {"class": "simulated", "warning": WARNING},
        "measurement": found["agreed"]["measurement"],
        "agreement": found["agreed"]["agreement"],
        "inputs": [
            {"party": side.party, "rows": len(pairs.rows(props.data / side.file)), "columns": list(side.features)}
            for side in (pair.left, pair.right)
        ],
        "overlap": {**overlap, "epsilon": _epsilon(overlap["epsilon_millionths"])},
        "segments": _segments(first["results"]),
        "metrics": json.loads(second["quality"]["quality"]) if second else None,
        "audience": _audience(second) if second else None,
        "who_saw_what": _who(scene, second is not None),
        "tamper": found["tamper"],
        "receipt": _receipt(found),
        "budgets": scene.budgets(),
        "slot": slot,
        "special": pairs.special(scene.floor(), slot["seconds"], slot["bits"]),
        "commands": {actor.name: actor.typed for actor in (scene.bank, scene.partner, scene.operator)},
        "shapes": _shapes(found),
    }


def _segments(results: Mapping[str, str]) -> list[dict[str, Any]]:
    if "segments" not in results:
        return []
    cells = json.loads(results["segments"])["cells"]
    return [{"name": " / ".join(map(str, cell["cell"].values())), "count": cell["count"]} for cell in cells]


def _audience(second: Mapping[str, Any]) -> dict[str, Any]:
    ids = second["audience"]["audience"].split()[1:]
    score: Score | None = second["score"]
    return {
        "size": len(ids),
        "ids_sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
        "lift": round(score.lift, 3) if score else None,
    }


def _who(scene: Stage, learned: bool) -> list[dict[str, str]]:  # noqa: FBT001
    bank, partner = scene.bank.name, scene.partner.name
    more = ("coarse quality of its model", "ids of its own customers") if learned else ("", "nothing yet")
    return [
        {
            "party": bank,
            "brought": "its customers and its code, sealed",
            "saw": f"a noised overlap; {more[0]}".rstrip("; "),
            "never": f"any row or id of {partner}'s",
        },
        {
            "party": partner,
            "brought": "its customers, sealed",
            "saw": more[1],
            "never": f"any row or id of {bank}'s, its code, its outcome column",
        },
        {
            "party": "operator",
            "brought": "the machine",
            "saw": "ciphertext, sizes, times, public keys, the signed agreement",
            "never": "a row, a line of code, a result (on confidential hardware; see the warning)",
        },
    ]


def _shapes(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Form and size of every release: what must not depend on where the demo is played."""
    runs = [run for run in (found["first"], found["second"]) if run]
    shapes = [
        {"rule": release["rule"], "recipient": release["recipient"], "size": release["size"]}
        for run in runs
        for release in run["receipts"][0]["releases"]
    ]
    return sorted(shapes, key=lambda shape: str(shape["rule"]))


def _receipt(found: Mapping[str, Any]) -> dict[str, Any]:
    runs = [run for run in (found["first"], found["second"]) if run]
    verified = [check for run in runs for check in run["receipts"]]
    releases = [
        {**release, "cost": f"epsilon {_epsilon(release['epsilon'])}" if release["epsilon"] else _bits(release["bits"])}
        for run in runs
        for release in run["receipts"][0]["releases"]
    ]
    facts = [
        ("agreement", found["agreed"]["agreement"]),
        ("measurement", found["agreed"]["measurement"]),
        *(("run", run["run"]) for run in runs),
        ("platform", "simulated"),
    ]
    return {"verified": all(v["final"] for v in verified), "facts": facts, "releases": releases}


def _bits(thousandths: int) -> str:
    return f"{thousandths / 1000:,.1f} bits"


def _epsilon(millionths: int) -> str:
    return f"{millionths / 1_000_000:g}"
