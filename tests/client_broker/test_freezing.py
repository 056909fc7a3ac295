"""A ledger that may have forgotten something takes no entry until others, or a person, confirm what was spent."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from sealroom.client import confirming, memory, seat, witness
from sealroom.client.consent import FREE
from sealroom.client.desk import Desk
from sealroom.client.errors import Unreachable, Waiting
from sealroom.client.ledger import Ledger
from sealroom.protocol import envelope
from sealroom.protocol.errors import NotAcceptable, NotGenuine, UsageError
from sealroom.protocol.statements import Consent
from tests import homes
from tests.client_broker.world import World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "world")


def spent(world, party="partner"):
    with world.ledger(party) as ledger:
        return ledger.spent("prospects")


def frozen(world, party="partner"):
    """Why a party's ledger is frozen; None if it lives. Also that a frozen one does nothing."""
    with world.ledger(party) as ledger:
        entry = ledger.frozen()
    if entry is None:
        return None
    before = list(world.gateway.posts)
    with pytest.raises(NotAcceptable) as caught:
        world.step(party)
    assert caught.value.code == "E3.ledger-frozen"
    assert world.gateway.posts == before
    return entry.draft.name


def swap(world, folder, party="partner"):
    """Put a folder in the place of a party's home; what was there moves to where the folder was."""
    root = world.homes[party].root
    aside = root.with_name("aside")
    root.rename(aside)
    folder.rename(root)
    aside.rename(folder)


def backup(world, tmp_path):
    shutil.copytree(world.homes["partner"].root, tmp_path / "backup")
    return tmp_path / "backup"


def lose(world, party="partner"):
    """The disk with the ledger is gone; the keys were somewhere else."""
    for path in world.homes[party].root.glob("ledger*"):
        path.unlink()


def word(world, by="bank", subject="partner", **changes):
    """What `by` signs about the subject, asked by its frozen ledger."""
    with world.ledger(subject) as ledger:
        desk = Desk(world.homes[subject], world.gateway, ledger, world.clock)
        asked = confirming.challenge(desk)
    home = world.homes[by]
    held = witness.held(home, world.gateway, home.agreement())
    said = {"party": by, "subject": subject, "challenge": asked, "now": world.clock.now} | changes
    return witness.make(home.agreement(), held, home.signing_key(), **said)


def confirm(world, *said, alone=None, party="partner"):
    with world.ledger(party) as ledger:
        return confirming.confirm(Desk(world.homes[party], world.gateway, ledger, world.clock), said, alone=alone)


def test_a_copy_of_a_home_is_frozen_and_the_home_goes_on(world, tmp_path):
    """Two brokers started by mistake: one of them charges, the other does nothing."""
    world.ask()
    world.step()
    copy = backup(world, tmp_path)
    swap(world, copy)
    assert frozen(world) == "copied"
    swap(world, copy)
    world.play()
    assert frozen(world) is None
    assert spent(world).runs == 1


def test_a_copy_of_a_home_that_never_ran_a_broker_is_frozen_too(world, tmp_path):
    world.ask()
    swap(world, backup(world, tmp_path))
    assert frozen(world) == "copied"


def test_a_clone_that_cannot_tell_itself_apart_is_frozen_by_what_the_other_signed(world, tmp_path):
    """A cloned disk, inodes and all: each freezes as soon as it sees a statement that it did not make."""
    world.ask()
    world.step()
    clone = backup(world, tmp_path)
    world.play()
    swap(world, clone)
    homes.move_in(world.homes["partner"].root)
    assert frozen(world) is None or frozen(world) == "forked"
    with pytest.raises(NotAcceptable):
        world.step("partner")
    assert frozen(world) == "forked"
    assert spent(world).runs == 0


def test_clones_that_race_for_one_run_charge_it_once(world, tmp_path):
    """Whose nonce comes first goes on; the other is told that there is a second broker."""
    clone = backup(world, tmp_path)
    homes.move_in(clone)
    world.ask()
    world.step("partner")
    swap(world, clone)
    homes.move_in(world.homes["partner"].root)
    world.gateway.tricks["runs"] = lambda runs: [dataclasses.replace(r, waiting_for=("bank", "partner")) for r in runs]
    world.gateway.tricks["run"] = lambda status: dataclasses.replace(status, waiting_for=("bank", "partner"))
    assert [e.error.code for e in world.step("partner")["partner"]] == ["E3.second-broker"]
    world.gateway.tricks.clear()
    world.step("bank")
    world.step("bank")
    assert [e.kind for e in world.step("partner")["partner"]] == ["no"]
    assert spent(world).runs == 0
    swap(world, clone)
    homes.move_in(world.homes["partner"].root)
    world.play()
    assert spent(world).runs == 1


def test_a_restored_home_is_frozen_until_another_party_confirms(world, tmp_path):
    copy = backup(world, tmp_path)
    world.ask()
    world.play()
    paid = spent(world)
    swap(world, copy)
    (world.homes["partner"].root / seat.MARK).write_text("backup of last night\n", "utf-8")
    homes.move_in(world.homes["partner"].root)
    assert frozen(world) == "restored"
    with pytest.raises(Waiting) as caught:
        confirm(world)
    assert "bank or compliance" in caught.value.message
    done = confirm(world, word(world))
    assert len(done.adopted) == 3
    assert (done.parties, done.alone) == (("bank",), ())
    assert not (world.homes["partner"].root / seat.MARK).exists()
    assert frozen(world) is None
    assert spent(world).epsilon == paid.epsilon
    assert spent(world).runs == paid.runs
    assert spent(world).bits >= paid.bits


def test_a_lost_ledger_begins_frozen_and_never_at_zero(world):
    """The grant alone, before any consent: nothing but the run's price is charged again."""
    world.ask()
    world.step()
    world.step()
    paid = spent(world)
    lose(world)
    assert frozen(world) == "lost"
    confirm(world, word(world))
    assert spent(world) == paid


def test_old_keys_in_a_new_home_count_as_a_lost_ledger(world, tmp_path):
    keys = world.homes["partner"].root / "keys"
    shutil.copytree(world.homes["bank"].root / "keys", tmp_path / "others")
    shutil.rmtree(keys)
    (tmp_path / "others").rename(keys)
    with world.ledger("partner") as ledger:
        assert ledger.frozen().draft.name == "lost"


def test_what_the_gateway_hides_another_partys_home_still_holds(world):
    """The operator shows nothing of the run any more; the bank's broker had noted what the partner let go."""
    world.ask()
    world.play()
    paid = spent(world)
    lose(world)
    world.gateway.tricks |= {"grants": lambda _: [], "consents": lambda _: []}
    done = confirm(world, word(world))
    assert len(done.adopted) == 3
    assert spent(world).epsilon == paid.epsilon


def test_new_runs_are_paid_for_after_a_confirmation_and_not_beyond_the_purse(world):
    world.ask()
    world.play()
    lose(world)
    confirm(world, word(world))
    events = world.step("partner")["partner"]
    assert [e.error.code for e in events if e.error] == []
    with world.ledger("partner") as ledger:
        kinds = [entry.draft.kind for entry in ledger.entries()]
        assert kinds == ["frozen", "adopted", "adopted", "adopted", "confirmed"]
        assert ledger.verify_chain()[0] == 5


def test_a_person_alone_ends_a_freeze_and_that_is_signed_and_kept(world):
    world.ask()
    world.play()
    lose(world)
    done = confirm(world, alone="the bank went out of business")
    assert done.alone == (world.id,)
    said = envelope.verify(
        done.statement, confirming.Confirmation, {"partner": world.members["partner"].signing.public}
    )
    assert (said.remark, said.adopted, said.witnesses) == ("the bank went out of business", 3, ())
    with world.ledger("partner") as ledger:
        assert ledger.frozen() is None
        assert ledger.kept(f"confirmation/{done.statement.digest}") == done.statement.to_bytes()
        assert ledger.entries()[-1].draft.name == done.statement.digest


def test_a_person_alone_is_not_stopped_by_a_gateway_that_is_gone(world):
    def gone(_):
        raise Unreachable("nobody there")

    lose(world)
    world.gateway.tricks["runs"] = gone
    assert confirm(world, alone="the machine burnt").adopted == ()


def test_confirming_what_is_not_frozen_is_a_mistake(world):
    with pytest.raises(UsageError):
        confirm(world)


def test_a_freeze_of_a_confirmed_ledger_asks_another_question(world):
    lose(world)
    first = word(world)
    confirm(world, first)
    lose(world)
    with pytest.raises(NotAcceptable) as caught:
        confirm(world, first)
    assert caught.value.code == "E3.other-challenge"


def _relisted(file):
    return dataclasses.replace(file, statements=file.statements[1:])


BAD = {
    "it answers an older question": ({"challenge": "11" * 32}, lambda f: f, "E3.other-challenge"),
    "it is about another party": ({"subject": "compliance"}, lambda f: f, "E3.other-challenge"),
    "it brings less than it lists": ({}, _relisted, "E2.other-statements"),
    "it names another signer": ({"party": "compliance"}, lambda f: f, "E2.stranger"),
    "it is the ledger's own party": ({"party": "partner"}, lambda f: f, "E3.not-another-party"),
    "it is no party's": ({"party": "mallory"}, lambda f: f, "E3.not-another-party"),
}


@pytest.mark.parametrize(("said", "change", "code"), BAD.values(), ids=BAD)
def test_a_witness_does_not_count_when(world, said, change, code):
    world.ask()
    world.play()
    lose(world)
    with pytest.raises((NotAcceptable, NotGenuine)) as caught:
        confirm(world, change(word(world, **said)))
    assert caught.value.code == code
    assert frozen(world) == "lost"


def test_the_operators_word_does_not_count_where_there_is_another(world):
    lose(world)
    with pytest.raises(Waiting):
        confirm(world, word(world, by="operator"))


def test_a_witness_of_an_agreement_that_is_not_pinned_is_refused(world):
    lose(world)
    file = word(world)
    shutil.rmtree(world.homes["partner"].root / "agreements")
    with pytest.raises(NotAcceptable) as caught:
        confirm(world, file)
    assert caught.value.code == "E3.other-agreement"


def test_without_any_agreement_nobody_can_be_asked_and_only_a_person_can_speak(world):
    lose(world)
    shutil.rmtree(world.homes["partner"].root / "agreements")
    with pytest.raises(Waiting):
        confirm(world)
    assert confirm(world, alone="a new home").alone == ()


def test_statements_of_an_agreement_that_is_not_pinned_are_not_forgotten(world):
    world.ask()
    world.play()
    file = word(world)
    lose(world)
    held = [*witness.held(world.homes["bank"], world.gateway, world.homes["bank"].agreement())]
    key = world.members["partner"].signing.public
    elsewhere = [dataclasses.replace(one, agreement="ee" * 32) for one in witness.paid(held, "partner", key)]
    with world.ledger("partner") as ledger:
        desk = Desk(world.homes["partner"], world.gateway, ledger, world.clock)
        with pytest.raises(NotAcceptable) as caught:
            confirming._adopt(desk, {}, elsewhere)
    assert caught.value.code == "E3.other-agreement"
    assert len(file.statements) == 3


def test_a_refusal_is_not_something_that_was_paid_for(world):
    said = Consent(
        format="sealroom/consent/v1", party="partner", agreement=world.id, release="11" * 32, decision="refuse",
        share=None, ledger=None, charged=FREE, created=1, remark="no",
    )  # fmt: skip
    signed = world.sign("partner", said)
    assert witness.paid([signed], "partner", world.members["partner"].signing.public) == []


def test_a_broker_notes_what_others_let_go_once(world):
    world.ask()
    world.play()
    noted = memory.seen_of_others(world.homes["bank"].root)
    theirs = world.members["partner"].signing.public
    assert len(witness.paid(noted, "partner", theirs)) == 3
    assert memory.seen_of_others(world.folder) == []


def test_a_mark_that_cannot_be_read_freezes_too(world):
    (world.homes["partner"].root / seat.MARK).mkdir()
    with world.ledger("partner") as ledger:
        assert "cannot be read" in ledger.frozen().draft.remark


def test_a_reason_is_noted_once_however_often_the_ledger_is_opened(world):
    (world.homes["partner"].root / seat.MARK).touch()
    for _ in range(3):
        with world.ledger("partner") as ledger:
            assert [entry.draft.name for entry in ledger.entries()] == ["restored"]


def test_a_seat_that_says_less_than_the_ledger_is_a_crash_and_no_doubt(world):
    root = world.homes["partner"].root
    early = (root / seat.FILE).read_bytes()
    world.ask()
    world.play()
    (root / seat.FILE).write_bytes(early)
    assert frozen(world) is None
    assert seat.load(root).sequence > 0


@pytest.mark.parametrize("content", [b"", b"{}", b"not json"])
def test_a_seat_that_cannot_be_read_freezes(world, content):
    (world.homes["partner"].root / seat.FILE).write_bytes(content)
    assert frozen(world) == "lost"


def test_a_seat_of_another_party_freezes(tmp_path):
    seat.first(tmp_path, "bank")
    with Ledger.open(tmp_path, "partner") as ledger:
        assert ledger.frozen().draft.name == "lost"
