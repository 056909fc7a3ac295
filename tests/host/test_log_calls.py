"""The log's calls: for members only, in the transaction of what they log, and silent about when a run ends."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from sealroom.host import documents
from sealroom.host.store import log as logs
from sealroom.protocol import merkle, notes
from tests.postgres import BOTH

STORES = BOTH


def head(g: Any, who: str = "bank") -> tuple[int, bytes]:
    said = g.call.ok(who, "GET", f"/agreements/{g.agreement}/log")
    note = notes.parse(said["checkpoint"].encode())
    key = notes.VerifyingKey.parse(said["key"])
    return notes.verify_log(note, name=notes.origin(g.agreement), key=key).tree


def entries(g: Any, start: int = 0) -> list[dict[str, Any]]:
    return list(g.call.ok("bank", "GET", f"/agreements/{g.agreement}/log/entries?start={start}")["entries"])


def cosigned(
    g: Any, party: str, *, key: str | None = None, at: int = 5, tree: tuple[int, bytes] | None = None
) -> bytes:
    size, root = tree or head(g)
    note = notes.parse(g.call.ok("bank", "GET", f"/agreements/{g.agreement}/log")["checkpoint"].encode())
    made = notes.Note(notes.Checkpoint(notes.origin(g.agreement), size, root), note.signatures)
    signer = g.parties.keys[key or party]
    return notes.cosign(made, signer, name=notes.cosigner(g.agreement, party), at=at).to_bytes()


def put(g: Any, party: str, note: bytes, who: str | None = None) -> Any:
    return g.call(who or party, "PUT", f"/agreements/{g.agreement}/log/cosignatures/{party}", note)


def test_everything_that_is_accepted_is_an_entry_with_a_proof(gateway: Any) -> None:
    g = gateway
    run = g.start()
    stop = g.parties.of("partner", "stop", g.agreement)
    g.call.ok("partner", "POST", f"/agreements/{g.agreement}/statements", stop)
    g.call.ok("partner", "POST", f"/agreements/{g.agreement}/statements", stop)
    found = entries(g)
    assert [e["kind"] for e in found] == ["agreement", "manifest", "manifest", "request", "stop"]
    assert (found[0]["digest"], found[3]["digest"], found[4]["digest"]) == (g.agreement, run, stop.digest)
    size, root = head(g)
    leaves = [merkle.entry_hash(bytes.fromhex(e["salt"]), e["kind"], e["digest"]) for e in found]
    assert (size, merkle.roots(leaves)[-1]) == (5, root)
    for entry, leaf in zip(found, leaves, strict=True):
        path = f"/agreements/{g.agreement}/log/inclusion?digest={entry['digest']}&size={size}"
        said = g.call.ok("compliance", "GET", path)
        proof = [bytes.fromhex(step) for step in said["proof"]]
        merkle.verify_inclusion(leaf, proof, index=said["number"], size=size, root=root)
    said = g.call.ok("bank", "GET", f"/agreements/{g.agreement}/log/consistency?old=2&new=5")
    proof = [bytes.fromhex(step) for step in said["proof"]]
    merkle.verify_consistency(proof, old=(2, merkle.roots(leaves)[2]), new=(size, root))
    assert len({e["salt"] for e in found}) == 5


def test_strangers_see_no_log_and_members_nothing_beyond_it(gateway: Any, helpers: Any) -> None:
    g, path = gateway, f"/agreements/{gateway.agreement}/log"
    for call in ("", "/entries?start=0", "/consistency?old=0&new=1", f"/inclusion?digest={g.agreement}&size=1",
                 "/cosignatures"):  # fmt: skip
        assert helpers.code(g.call("operator", "GET", path + call)) == (404, "not-found")
    for call in ("/consistency?old=0&new=2", f"/inclusion?digest={g.agreement}&size=2",
                 f"/inclusion?digest={'11' * 32}&size=1", f"/inclusion?digest={g.agreement}&size=0"):  # fmt: skip
        assert helpers.code(g.call("bank", "GET", path + call)) == (404, "not-found")
    assert entries(g, 1) == []
    assert helpers.code(g.call("bank", "GET", f"/runs/{g.start()}/checkpoint")) == (404, "not-found")


def test_cosignatures_are_of_this_log_by_their_party_and_never_older(gateway: Any, helpers: Any) -> None:
    g = gateway
    old = cosigned(g, "bank")
    g.objects()
    new = cosigned(g, "bank")
    assert put(g, "bank", new).status_code == 200
    assert put(g, "bank", new).status_code == 200
    assert helpers.code(put(g, "bank", old)) == (409, "older")
    assert helpers.code(put(g, "bank", new, who="partner")) == (403, "forbidden")
    size, root = head(g)
    for note in (
        cosigned(g, "bank", tree=(size, bytes(32))), cosigned(g, "bank", tree=(size + 1, root)), b"\xff", b"x", b"",
        cosigned(g, "bank", key="partner"), cosigned(g, "partner", key="bank"), new[:-6] + b"A" + new[-5:],
        new.replace(b"/bank ", b"/bang "), f"{notes.origin(g.agreement)}\n{'9' * 20}\n\n".encode(),
    ):  # fmt: skip
        status, code = helpers.code(put(g, "bank", note))
        assert (status, code) in {(422, "bad-note"), (422, "wrong-checkpoint")}, note
    said = g.call.ok("partner", "GET", f"/agreements/{g.agreement}/log/cosignatures")
    assert said == {"cosignatures": {"bank": new.decode()}}


def test_what_ends_a_run_is_logged_when_its_slot_comes_and_not_before(gateway: Any) -> None:
    g = gateway
    run = g.start(opaque=True, rules=["audience"])
    g.challenge(run)
    runs, now = g.store.runs, g.clock()
    found = runs.step(runs.get(run), "take", now, launched=now)
    g.store.log.assign(run, g.agreement, now)
    assert g.call.ok("bank", "GET", f"/runs/{run}/checkpoint")["size"] == len(entries(g))
    found = runs.put_evidence(found, b"{}", now)
    found = runs.step(found, "granted", now)
    before = head(g)
    common = {"request": run, "evidence": found.evidence_digest}
    offer = documents.statement(g.parties.of("bank", "offer", g.agreement, **common).to_bytes(), "offer")
    receipt = documents.statement(g.parties.of("bank", "receipt", g.agreement, **common).to_bytes(), "receipt")
    g.store.results.add_offer(found, offer, hashlib.sha256(b"x").hexdigest(), ("partner",))
    g.store.results.add_receipt(found, receipt, "completed", now)
    assert head(g) == before
    g.call.ok(
        "partner", "POST", f"/agreements/{g.agreement}/statements", g.parties.of("partner", "approval", g.agreement)
    )
    assert [e["kind"] for e in entries(g)][-1] == "approval"
    g.clock.now += 300
    assert [e["kind"] for e in entries(g)][-3:] == ["approval", "offer", "receipt"]


def test_what_is_not_accepted_is_not_logged(gateway: Any) -> None:
    g, before = gateway, head(gateway)
    with pytest.raises(RuntimeError):
        interrupted(g)
    assert head(g) == before


def interrupted(g: Any) -> None:
    with g.store.database.writing():
        made = documents.statement(g.parties.of("bank", "approval", g.agreement).to_bytes(), "approval")
        g.store.agreements.add_statement(g.agreement, "bank", made, g.clock())
        raise RuntimeError


def test_a_page_is_bounded_and_always_goes_on(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    g = gateway
    g.objects()
    monkeypatch.setattr(logs, "PAGE_BYTES", 1)
    assert [len(entries(g, start)) for start in range(4)] == [1, 1, 1, 0]


def test_a_refusal_ends_the_run_for_all_and_only_owners_make_one(gateway: Any, helpers: Any) -> None:
    g = gateway
    run = g.start()
    path = f"/runs/{run}/refusals"
    refusal = g.parties.of("partner", "refusal", g.agreement, request=run)
    by_compliance = g.parties.of("compliance", "refusal", g.agreement, request=run)
    other = g.parties.of("partner", "refusal", g.agreement, request="11" * 32)
    assert helpers.code(g.call("compliance", "PUT", f"{path}/compliance", by_compliance)) == (403, "forbidden")
    assert helpers.code(g.call("bank", "PUT", f"{path}/partner", refusal)) == (403, "forbidden")
    assert helpers.code(g.call("partner", "PUT", f"{path}/partner", other)) == (422, "wrong-request")
    g.call.ok("partner", "PUT", f"{path}/partner", refusal)
    g.call.ok("partner", "PUT", f"{path}/partner", refusal)
    again = g.parties.of("partner", "refusal", g.agreement, request=run, created=7)
    assert helpers.code(g.call("partner", "PUT", f"{path}/partner", again)) == (409, "already-there")
    assert g.state(run) == "refused"
    (said,) = g.call.ok("compliance", "GET", path)["refusals"]
    assert base64.b64decode(said["payload"]) == refusal.unverified_payload
    assert [e["kind"] for e in entries(g)][-1] == "refusal"
    g.call.ok("bank", "PUT", f"{path}/bank", g.parties.of("bank", "refusal", g.agreement, request=run))
    assert [e["kind"] for e in entries(g)][-2:] == ["refusal", "refusal"]


def test_a_run_that_ended_otherwise_takes_no_refusal(gateway: Any, helpers: Any) -> None:
    g = gateway
    run = g.start()
    g.call.ok("bank", "POST", f"/runs/{run}/stop")
    late = g.parties.of("partner", "refusal", g.agreement, request=run)
    assert helpers.code(g.call("partner", "PUT", f"/runs/{run}/refusals/partner", late)) == (409, "wrong-state")
