"""A history proves itself from files alone, and the first of many planted forgeries is named each time."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from sealroom.client import audit, audit_folder, audit_words
from sealroom.client.audit import Finding
from sealroom.protocol import canonical, envelope, merkle, notes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Refused
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.logged import Log
from sealroom.protocol.statements import Consent, Grant, Request, Stop
from tests.client_broker.world import NOW, World

MALLORY = SigningKey.generate()


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Three parties with data, code and results: a whole run, a refused one, and their exported history."""
    world = World(tmp_path_factory.mktemp("story"))
    world.ask("overlap", "quality", "audience")
    world.play()
    world.gateway.gate = None
    world.clock.now += 60
    second = world.ask_again("overlap")
    world.make_gate().launch = canonical.encode({"launcher": "bare"})
    world.play()
    assert world.gateway.run_store[second].state == "refused"
    world.step("bank", "partner")
    folder = tmp_path_factory.mktemp("audit") / "history"
    audit_folder.export(world.gateway, world.id, folder)
    return world, folder, frozenset({world.processor.root})


@pytest.fixture
def copy(story, tmp_path):
    world, folder, roots = story
    shutil.copytree(folder, tmp_path / "history")
    return Copy(world, tmp_path / "history", roots)


class Copy:
    """A copy of the history, for somebody who wants it to say something else."""

    def __init__(self, world, folder, roots):
        self.world, self.folder, self.roots = world, folder, roots

    def verify(self):
        return audit.verify(audit_folder.load(self.folder), roots=self.roots)

    def path(self, number):
        return self.folder / "entries" / f"{number:06}.json"

    def read(self, number):
        return json.loads(self.path(number).read_bytes())

    def write(self, number, value):
        self.path(number).write_bytes(canonical.encode(value | {"number": number}))

    def first(self, kind, last=False):
        found = [n for n in range(self.size) if self.read(n)["kind"] == kind]
        return found[-1 if last else 0]

    @property
    def size(self):
        return len(list((self.folder / "entries").iterdir()))

    def order(self, numbers):
        """Rewrite all entries as those of the old numbers, in this order."""
        old = {n: self.read(n) for n in range(self.size)}
        for n in old:
            self.path(n).unlink()
        for place, n in enumerate(numbers):
            self.write(place, old[n])

    def forge_tree(self, *, key=None):
        """What the operator itself could do: new hashes, a new checkpoint by the log's key, and no cosignatures."""
        leaves = [merkle.entry_hash(bytes.fromhex(e["salt"]), e["kind"], e["digest"]) for e in self.all()]
        (self.folder / "tree").write_text("".join(f"{leaf.hex()}\n" for leaf in leaves))
        for note in (self.folder / "checkpoints").iterdir():
            note.unlink()
        seed = self.world.gateway.log.store.key().private_bytes_raw()
        found = notes.Checkpoint(notes.origin(self.world.id), len(leaves), merkle.roots(leaves)[-1])
        (self.folder / "checkpoints" / "newest.note").write_bytes(notes.sign(found, key or SigningKey(seed)).to_bytes())

    def all(self):
        return [self.read(n) for n in range(self.size)]

    def restate(self, number, kind, signer, **changes):
        """The statement at a place with other content, signed by `signer`."""
        value = self.read(number)
        said = dataclasses.replace(envelope.unverified(parsed(value), kind), **changes)
        key = self.world.members[signer].signing if isinstance(signer, str) else signer
        self.put(number, envelope.sign(said, [key]))

    def put(self, number, signed):
        kind = signed.payloadType.split(".sealroom.")[1].split(".")[0]
        value = {"format": "sealroom/log-entry/v1", "kind": kind, "digest": signed.digest, "salt": "5a" * 32}
        self.write(number, value | {"body": json.loads(signed.to_bytes())})


def parsed(value) -> Envelope:
    return envelope.parse(canonical.encode(value["body"]))


def test_the_whole_history_holds_and_says_who_was_granted_which_key_when(story):
    world, folder, roots = story
    found = audit.verify(audit_folder.load(folder), roots=roots, agreement=world.id)
    facts = audit_words.facts(found)
    granted = {(f["party"], f["object"], f["at"]) for f in facts if f["what"] == "granted"}
    assert granted >= {("bank", "customers", NOW), ("bank", "model", NOW), ("partner", "prospects", NOW)}
    assert {(f["rule"], f["recipient"]) for f in facts if f["what"] == "released"} == {
        ("overlap", "bank"), ("overlap", "compliance"), ("quality", "bank"), ("audience", "partner"),
    }  # fmt: skip
    assert {f["party"] for f in facts if f["what"] == "declined"} <= {"bank", "partner"}
    assert [f for f in facts if f["what"] == "declined"]
    assert set(found.cosigned) == {"bank", "partner"}
    text = "\n".join(audit_words.lines(found))
    assert text.startswith("SIMULATED")
    assert "bank granted the key of customers" in text
    assert audit_words.document(found)["entries"] == found.head.size


def test_nothing_is_believed_under_another_root_or_agreement(story):
    _, folder, roots = story
    for options, code in (({}, "E3.root-not-named"), ({"roots": roots, "agreement": "11" * 32}, "E3.other-agreement")):
        with pytest.raises(Refused) as caught:
            audit.verify(audit_folder.load(folder), **options)
        assert caught.value.code == code


def removed(number):
    return lambda c: (c.path(number).unlink(), number)[1]


def removed_and_closed(kind):
    def trick(c):
        gone = c.first(kind)
        c.order([n for n in range(c.size) if n != gone])
        return gone

    return trick


def cut_off(c):
    last = c.size - 1
    c.path(last).unlink()
    return last


def swapped(kind, other):
    def trick(c):
        one, two = sorted((c.first(kind), c.first(other)))
        numbers = list(range(c.size))
        numbers[one], numbers[two] = two, one
        c.order(numbers)
        return one

    return trick


def repeated(kind):
    def trick(c):
        one = c.first(kind)
        c.order([*range(one + 1), one, *range(one + 1, c.size)])
        return one + 1

    return trick


def appended(c):
    size = c.size
    c.write(size, c.read(size - 1))
    return size


def bit(field):
    def trick(c):
        number = c.first("grant")
        value = c.read(number)
        value[field] = ("0" if value[field][0] != "0" else "1") + value[field][1:]
        c.write(number, value)
        return number

    return trick


def altered_payload(c):
    number = c.first("receipt")
    value = c.read(number)
    value["body"]["payload"] = c.read(c.first("offer"))["body"]["payload"]
    c.write(number, value)
    return number


def other_kind(c):
    number = c.first("approval")
    c.write(number, c.read(number) | {"kind": "revocation"})
    return number


def other_number(c):
    number = c.first("consent")
    c.path(number).write_bytes(canonical.encode(c.read(number) | {"number": number + 1}))
    return number


def spelled_otherwise(c):
    number = c.first("consent")
    c.path(number).write_bytes(c.path(number).read_bytes() + b"\n")
    return number


def stripped_signature(c):
    number = c.first("agreement")
    value = c.read(number)
    value["body"]["signatures"] = value["body"]["signatures"][:-1]
    c.write(number, value)
    return number


def own_statement_put_in(c):
    number = c.first("consent")
    c.restate(number, Consent, "partner", remark="another")
    return number


def by_operator(change, *, place=None):
    """The operator rewrites the whole tree and signs it: what cosignatures alone would show is left out."""

    def trick(c):
        number = change(c)
        c.forge_tree()
        return number

    return trick


def rewritten(kind, cls, signer, **changes):
    def change(c):
        number = c.first(kind)
        c.restate(number, cls, signer, **changes)
        return number

    return change


def before(kind, other):
    """The first `kind` is moved to right before the first `other`, and the tree made to fit."""

    def change(c):
        one, two = c.first(kind), c.first(other)
        numbers = [n for n in range(c.size) if n != one]
        numbers.insert(numbers.index(two), one)
        c.order(numbers)
        return numbers.index(one)

    return change


def dropped(kind, then):
    """The first `kind` is left out; what rests on it, the first `then`, is the first that cannot stand."""

    def change(c):
        gone = c.first(kind)
        c.order([n for n in range(c.size) if n != gone])
        return c.first(then)

    return change


def second_grant(c):
    number = c.first("grant")
    value = envelope.unverified(parsed(c.read(number)), Grant)
    old = c.all()
    c.put(number + 1, c.world.sign(value.party, dataclasses.replace(value, created=value.created + 1)))
    for place in range(number + 1, len(old)):
        c.write(place + 1, old[place])
    return number + 1


def stop_before_consent(c):
    number, old = c.first("consent"), c.all()
    said = Stop(format="sealroom/stop/v1", party="compliance", agreement=c.world.id, created=NOW, remark="stop")
    c.put(number, c.world.sign("compliance", said))
    for place in range(number, len(old)):
        c.write(place + 1, old[place])
    return number + 1


def second_log_key(c):
    number = c.first("approval")
    old = c.all()
    said = Log(format="sealroom/log/v1", party="operator", agreement=c.world.id, key=MALLORY.public.text, created=NOW)
    c.put(number, c.world.sign("operator", said))
    for place in range(number, len(old)):
        c.write(place + 1, old[place])
    return number


FORGERIES = {
    "the first entry is removed": (removed(0), "audit-removed"),
    "an entry in the middle is removed": (removed(7), "audit-removed"),
    "the last entry is removed": (cut_off, "audit-removed"),
    "a grant is removed and the gap closed": (removed_and_closed("grant"), "audit-removed"),
    "a refusal is removed and the gap closed": (removed_and_closed("refusal"), "audit-removed"),
    "a receipt and a consent are swapped": (swapped("receipt", "consent"), "audit-moved"),
    "a request and its evidence are swapped": (swapped("request", "evidence"), "audit-moved"),
    "a consent stands twice": (repeated("consent"), "audit-doubled"),
    "an entry is appended": (appended, "audit-added"),
    "a salt has another digit": (bit("salt"), "audit-forged"),
    "a digest has another digit": (bit("digest"), "audit-altered"),
    "a receipt says something else": (altered_payload, "audit-altered"),
    "an approval is called a revocation": (other_kind, "audit-altered"),
    "an entry claims another number": (other_number, "audit-renumbered"),
    "an entry is spelled otherwise": (spelled_otherwise, "not-canonical"),
    "a party's signature is taken off the agreement": (stripped_signature, "too-few-signatures"),
    "a party puts another consent of its own in place": (own_statement_put_in, "audit-forged"),
    "operator: a grant by another key": (by_operator(rewritten("grant", Grant, MALLORY)), "stranger"),
    "operator: a grant for another object": (
        by_operator(rewritten("grant", Grant, "bank", object="11" * 32)), "other-object",
    ),
    "operator: a grant to other evidence": (
        by_operator(rewritten("grant", Grant, "bank", evidence="11" * 32)), "audit-order",
    ),
    "operator: a second grant for one object": (by_operator(second_grant), "audit-second"),
    "operator: a request for other columns": (
        by_operator(rewritten("request", Request, "bank", columns={"customers": ("email",)})), "other-columns",
    ),
    "operator: a consent by the operator itself": (
        by_operator(rewritten("consent", Consent, "operator", party="operator")), "stray-consent",
    ),
    "operator: a grant before its evidence": (by_operator(before("grant", "evidence")), "audit-order"),
    "operator: a consent before its receipt": (by_operator(before("consent", "receipt")), "audit-order"),
    "operator: a cosignature before its receipt": (by_operator(before("cosignature", "receipt")), "audit-order"),
    "operator: a request before the agreement": (by_operator(before("request", "agreement")), "audit-order"),
    "operator: a manifest left out": (by_operator(dropped("manifest", "request")), "audit-order"),
    "operator: an approval left out": (by_operator(dropped("approval", "evidence")), "log-other-checkpoint"),
    "operator: a request left out": (by_operator(dropped("request", "evidence")), "audit-order"),
    "operator: an offer left out": (by_operator(dropped("offer", "receipt")), "audit-order"),
    "operator: consent after a stop": (by_operator(stop_before_consent), "stopped"),
    "operator: a second key of the log": (by_operator(second_log_key), "log-key"),
}  # fmt: skip


@pytest.mark.parametrize(("trick", "code"), FORGERIES.values(), ids=FORGERIES)
def test_a_planted_forgery_is_named(copy, trick, code):
    entry = trick(copy)
    with pytest.raises(Finding) as caught:
        copy.verify()
    assert (caught.value.code, caught.value.entry) == (f"E2.{code}", entry)
    assert f"entry {entry}" in caught.value.message


def test_a_checkpoint_that_others_cosigned_convicts_an_operator_who_rewrites_the_tree(copy):
    by_bank = (copy.folder / "checkpoints" / "by-bank.note").read_bytes()
    copy.restate(copy.first("cosignature", last=True), *_cosignature(copy))
    copy.forge_tree()
    (copy.folder / "checkpoints" / "by-bank.note").write_bytes(by_bank)
    with pytest.raises(Finding) as caught:
        copy.verify()
    assert caught.value.code == "E2.audit-tree"


def _cosignature(copy):
    from sealroom.protocol.statements import Cosignature  # noqa: PLC0415

    party = envelope.unverified(parsed(copy.read(copy.first("cosignature", last=True))), Cosignature).party
    return Cosignature, party


def test_a_tree_by_another_key_and_a_cosignature_that_does_not_hold_are_named(copy):
    path = copy.folder / "checkpoints" / "by-bank.note"
    text = path.read_bytes()
    note = notes.parse(text)
    bad = bytearray(note.signatures[-1].signature)
    bad[20] ^= 1
    lines = (*note.signatures[:-1], dataclasses.replace(note.signatures[-1], signature=bytes(bad)))
    path.write_bytes(notes.Note(note.unverified, lines).to_bytes())
    with pytest.raises(Finding, match="checkpoint by-bank"):
        copy.verify()
    path.write_bytes(text)
    copy.forge_tree(key=MALLORY)
    with pytest.raises(Finding, match="checkpoint newest"):
        copy.verify()


def test_entries_that_no_checkpoint_covers_are_named(copy):
    tree = copy.folder / "tree"
    tree.write_text(tree.read_text() + "11" * 32 + "\n")
    with pytest.raises(Finding) as caught:
        copy.verify()
    assert (caught.value.code, caught.value.entry) == ("E2.audit-beyond", copy.size)


def test_a_folder_without_checkpoints_proves_nothing(copy):
    for note in (copy.folder / "checkpoints").iterdir():
        note.unlink()
    with pytest.raises(Finding) as caught:
        copy.verify()
    assert caught.value.code == "E2.audit-no-checkpoint"


def test_at_least_twenty_forgeries_of_different_kinds_are_planted():
    assert len(FORGERIES) >= 20
    assert len({code for _, code in FORGERIES.values()}) >= 10
