"""That no run was lost and none doubled: the gateway's database, both ledgers, and what recipients hold, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sealroom.client import collect
from tests.crash import checks
from tests.crash.setting import Scene
from tests.crash.template import OWNERS, RULES
from tests.load.play import Load

OFFERS = 3
"""Of one run: the overlap to both owners, the cells to the one who asks."""
GRANTS = 3
"""Of one run: customers and segments by the bank, prospects by the partner."""


def wrong(load: Load, count: int) -> Iterator[tuple[str, str]]:
    """(run, what does not hold); "" for what is of no run."""
    scene, asked = load.scene, [one.run for one in load.played]
    yield from ((one.run, one.wrong) for one in load.played if one.wrong)
    if len(asked) != count or len(set(asked)) != count:
        yield "", f"{len(asked)} requesters' runs, {len(set(asked))} different ones, of {count}"
    at_gateway = [row["run"] for row in scene.rows("SELECT run FROM runs")]
    if sorted(at_gateway) != sorted(asked):
        lost = len(set(asked) - set(at_gateway))
        yield "", f"the gateway has {len(at_gateway)} runs, and lacks {lost} that were asked for"
    if load.scene.programs["gateway"].process.poll() is not None:
        yield "", "the gateway died"
        return
    yield from ((run, words) for run in asked if run for words in one_run(scene, run))
    try:
        checks.ends_well(scene, at_gateway, seconds=checks.PATIENCE + count)
    except AssertionError as error:
        yield "", f"a check of crashed runs does not hold: {error}"
        return
    for party in OWNERS:
        yield from ((party, words) for words in booked(scene, party, at_gateway))


def one_run(scene: Scene, run: str) -> Iterator[str]:
    """What is wrong with a run at the gateway, or with its receipt and results at the partner's."""
    row = scene.row(run)
    if row is None or row["state"] != "done" or row["receipt"] is None:
        yield "it is not done, or has no receipt"
        return
    found = {
        "offers": len(scene.rows("SELECT 1 FROM offers WHERE run = ?", run)),
        "grants": len(scene.rows("SELECT 1 FROM run_objects WHERE run = ? AND grant_envelope IS NOT NULL", run)),
        "attempts": row["attempts"],
    }
    if found != {"offers": OFFERS, "grants": GRANTS, "attempts": 1}:
        yield f"it has {found}"
    if scene.rows("SELECT 1 FROM consents WHERE run = ? AND envelope IS NULL", run):
        yield "a consent is missing"
    digests = [run, row["evidence_digest"], row["receipt_digest"]]
    digests += [offer["digest"] for offer in scene.rows("SELECT digest FROM offers WHERE run = ?", run)]
    for digest in digests:
        if len(scene.rows("SELECT 1 FROM log_entries WHERE digest = ?", digest)) != 1:
            yield f"{digest[:12]} does not stand in the log once"
    got = collect.collect(scene.homes["partner"], scene.gateways["partner"], run)
    if [item.rule for item in got.opened] != [RULES[0]]:
        yield f"the partner opened {[item.rule for item in got.opened]}"


def booked(scene: Scene, party: str, runs: list[str]) -> Iterator[str]:
    """What is wrong with a ledger: each run has one grant and one end, each release is charged once."""
    with scene.ledger(party) as ledger:
        entries = [entry.draft for entry in ledger.entries()]
    kinds = Counter(draft.kind for draft in entries)
    for kind in ("grant", "settled"):
        if kinds[kind] != len(runs) or len({draft.once for draft in entries if draft.kind == kind}) != len(runs):
            yield f"its ledger has {kinds[kind]} entries of kind {kind} for {len(runs)} runs"
    affecting = len(scene.rows("SELECT 1 FROM consents WHERE party = ?", party))
    released = {draft.name for draft in entries if draft.kind == "release"}
    if not affecting == kinds["release"] == len(released):
        yield f"its ledger charges {kinds['release']} releases, {len(released)} different ones, for {affecting} offers"
    if kinds["unresolved"]:
        yield f"its ledger has {kinds['unresolved']} runs of which it does not know the end"
