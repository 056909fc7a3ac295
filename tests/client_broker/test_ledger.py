"""A ledger charges once, never below nothing, never backwards, and shows when somebody else wrote it."""

from __future__ import annotations

import dataclasses
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealroom.client import entries, seat, words
from sealroom.client.entries import Amount, Draft
from sealroom.client.errors import BudgetSpent
from sealroom.client.ledger import Ledger
from sealroom.protocol.errors import NotAcceptable, NotGenuine, UsageError

LIMIT = {"people": Amount(epsilon=1000, bits=500, runs=3)}


def draft(name="r1", once=None, kind="release", **charges):
    return Draft(
        format="sealroom/ledger-entry/v1",
        kind=kind,
        once=once or f"{kind}/{name}",
        name=name,
        agreement="aa" * 32,
        remark="x",
        charges={purse: Amount(epsilon=epsilon) for purse, epsilon in charges.items()},
        created=1,
        deadline=0,
    )


@pytest.fixture(autouse=True)
def new_home(tmp_path):
    seat.first(tmp_path, "bank")


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path, "bank") as opened:
        yield opened


def test_what_is_charged_stays_charged_after_reopening(tmp_path):
    with Ledger.open(tmp_path, "bank") as ledger:
        ledger.append(draft(people=400), limits=LIMIT)
        head = ledger.head()
    with Ledger.open(tmp_path, "bank") as ledger:
        assert ledger.spent("people").epsilon == 400
        assert ledger.head() == head == ledger.verify_chain()


def test_the_same_matter_is_charged_once(ledger):
    first = ledger.append(draft(people=400), limits=LIMIT, keep=lambda _: {"note": b"one"})
    again = ledger.append(draft(people=400), limits=LIMIT, keep=lambda _: {"note": b"two"})
    assert first == again
    assert ledger.spent("people").epsilon == 400
    assert ledger.kept("note") == b"one"


def test_a_matter_is_settled_one_way_only(ledger):
    ledger.append(draft("r1", once="matter", people=1), limits=LIMIT)
    for other in (draft("r2", once="matter", people=1), draft("r1", once="matter", kind="refusal")):
        with pytest.raises(NotAcceptable) as caught:
            ledger.append(other, limits=LIMIT)
        assert caught.value.code == "E3.settled-otherwise"


def test_a_purse_never_holds_less_than_nothing(ledger):
    ledger.append(draft("a", people=1000), limits=LIMIT)
    with pytest.raises(BudgetSpent) as caught:
        ledger.append(draft("b", people=1), limits=LIMIT, keep=lambda _: {"share": b"secret"})
    assert caught.value.code == "E3.budget-spent"
    assert ledger.kept("share") is None
    assert ledger.find("release/b") is None


@pytest.mark.parametrize("amount", [Amount(epsilon=1001), Amount(bits=501), Amount(runs=4)])
def test_each_part_of_a_purse_is_bounded(ledger, amount):
    with pytest.raises(BudgetSpent):
        ledger.append(dataclasses.replace(draft(), charges={"people": amount}), limits=LIMIT)


def test_a_purse_that_was_not_agreed_holds_nothing(ledger):
    with pytest.raises(BudgetSpent):
        ledger.append(draft(strangers=1), limits=LIMIT)


def test_nothing_is_written_when_what_is_to_be_kept_cannot_be_made(ledger):
    def fail(_):
        raise NotAcceptable("no", "no")

    with pytest.raises(NotAcceptable):
        ledger.append(draft(people=1), limits=LIMIT, keep=fail)
    assert ledger.entries() == []


def test_an_entry_that_was_undone_is_not_remembered_and_one_that_stands_is_not_read_again(ledger, monkeypatch):
    first = ledger.append(draft("a", people=1), limits=LIMIT)
    assert ledger.entries() == [first]

    def fail(_):
        assert len(ledger.entries()) == 2, "as seen from inside"
        raise NotAcceptable("no", "no")

    with pytest.raises(NotAcceptable):
        ledger.append(draft("b", people=1), limits=LIMIT, keep=fail)
    assert ledger.entries() == [first]
    second = ledger.append(draft("c", people=2), limits=LIMIT)
    read, seen = entries.read, []
    monkeypatch.setattr(entries, "read", lambda *row: seen.append(row) or read(*row))
    for _ in range(3):
        assert ledger.entries() == [first, second]
    assert ledger.spent("people").epsilon == 3
    assert len(seen) == 1


def test_what_is_kept_under_a_prefix_is_exactly_what_begins_with_it(ledger):
    names = ["a/", "a/1", "a/é", "a/\U0010fffe", "a", "a0", "A/1", "b/a/", "a/%", "a_1"]
    ledger.keep_all({name: name.encode() for name in names})
    for prefix in ("a/", "a", "b", "a/%", "A", "c"):
        assert set(ledger.kept_under(prefix)) == {name for name in names if name.startswith(prefix)}


@pytest.mark.parametrize("table", ["owner", "entries", "kept", "sent"])
@pytest.mark.parametrize("verb", ["DELETE FROM {}", "UPDATE {} SET rowid = rowid + 1"])
def test_the_file_itself_refuses_changes(ledger, table, verb):
    ledger.append(draft(people=1), limits=LIMIT, keep=lambda _: {"note": b"one"})
    ledger.mark_sent("note")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        ledger._db.execute(verb.format(table))


def _tampered(folder, *statements):
    with Ledger.open(folder, "bank") as ledger:
        for name in "abc":
            ledger.append(draft(name, people=10), limits=LIMIT)
    database = sqlite3.connect(folder / "ledger.db")
    for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


CHANGES = {
    "a charge is lowered": "UPDATE entries SET body = CAST(replace(body, '10', '0') AS BLOB) WHERE sequence = 2",
    "an entry is removed": "DELETE FROM entries WHERE sequence = 2",
    "the first entry is removed": "DELETE FROM entries WHERE sequence = 1",
    "two entries trade places": "UPDATE entries SET sequence = -sequence",
    "a digest is rewritten": "UPDATE entries SET digest = '00' WHERE sequence = 3",
    "a predecessor is rewritten": "UPDATE entries SET previous = 'zz' WHERE sequence = 3",
    "a matter is renamed": "UPDATE entries SET once = 'other' WHERE sequence = 3",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_broker_does_not_start_when(tmp_path, change):
    _tampered(tmp_path, change)
    with pytest.raises(NotGenuine) as caught:
        Ledger.open(tmp_path, "bank")
    assert caught.value.code == "E2.ledger-broken"


def test_one_writer_at_a_time(tmp_path):
    with Ledger.open(tmp_path, "bank"):
        with pytest.raises(NotAcceptable) as caught:
            Ledger.open(tmp_path, "bank")
        assert caught.value.code == "E3.ledger-in-use"
    Ledger.open(tmp_path, "bank").close()


def test_a_ledger_belongs_to_one_party(tmp_path):
    Ledger.open(tmp_path, "bank").close()
    with pytest.raises(UsageError):
        Ledger.open(tmp_path, "partner")


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"not a database at all, but long enough to look at" * 50)
    with pytest.raises(NotGenuine):
        Ledger.open(tmp_path, "bank")


def test_only_its_user_can_read_the_file(tmp_path):
    with Ledger.open(tmp_path, "bank") as ledger:
        ledger.append(draft(people=1), limits=LIMIT)
        for path in tmp_path.glob("ledger*"):
            assert path.stat().st_mode & 0o077 == 0


def test_what_was_kept_first_stays(ledger):
    assert ledger.keep("nonce", b"one") == b"one"
    assert ledger.keep("nonce", b"two") == b"one"
    assert ledger.kept_under("no") == {"nonce": b"one"}
    assert not ledger.sent("nonce")
    ledger.mark_sent("nonce")
    ledger.mark_sent("nonce")
    assert ledger.sent("nonce")


MOVES = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(["people", "code"]), st.integers(0, 400)), max_size=20
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
def test_whatever_is_asked_for_the_sum_stays_within_and_the_chain_holds(tmp_path_factory, moves):
    limits = {"people": Amount(epsilon=700), "code": Amount(epsilon=300)}
    model = {}
    folder = tmp_path_factory.mktemp("ledger")
    seat.first(folder, "bank")
    with Ledger.open(folder, "bank") as ledger:
        for name, purse, epsilon in moves:
            before = ledger.spent(purse).epsilon
            try:
                entry = ledger.append(draft(name, **{purse: epsilon}), limits=limits)
            except BudgetSpent:
                assert name not in model
                assert before + epsilon > limits[purse].epsilon
            else:
                model.setdefault(name, (purse, epsilon))
                assert entry.draft.charges == {model[name][0]: Amount(epsilon=model[name][1])}
        for purse, limit in limits.items():
            spent = ledger.spent(purse)
            assert spent == Amount(epsilon=sum(e for p, e in model.values() if p == purse))
            assert spent.within(limit)
        assert ledger.verify_chain()[0] == len(model)


def test_an_entry_is_named_by_number_predecessor_and_content():
    base = entries.Entry(1, "00" * 32, draft())
    others = [
        entries.Entry(2, "00" * 32, draft()),
        entries.Entry(1, "11" * 32, draft()),
        entries.Entry(1, "00" * 32, draft("r2")),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 4
    assert entries.start("bank") != entries.start("partner")


def test_amounts_read_well():
    assert words.amount(Amount(epsilon=500_000, bits=12_340, runs=1)) == "epsilon 0.5, 12.3 bits, 1 run"
    assert words.amount(Amount(runs=2)) == "2 runs"
    assert words.amount(Amount()) == "nothing"
