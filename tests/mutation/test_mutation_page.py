"""Scores leave out what only a person reads, and every survivor is shown with what is known about it."""

from __future__ import annotations

from tests.mutation import judge, page, results
from tests.mutation.units import UNITS

SOURCE = """
def x_f__mutmut_orig(a):
    if a:
        raise NotAcceptable("code", "a message", hint="help")

def x_f__mutmut_1(a):
    if not a:
        raise NotAcceptable("code", "a message", hint="help")

def x_f__mutmut_2(a):
    if a:
        raise NotAcceptable("code", "XXa messageXX", hint=None)

def x_f__mutmut_3(a):
    if a:
        raise NotAcceptable("CODE", "a message", hint="help")
"""


def test_only_a_change_of_messages_counts_as_words():
    found = [judge.survivor(SOURCE, f"sealroom.m.x_f__mutmut_{n}", untested=False) for n in (1, 2, 3)]
    assert [survivor["words"] for survivor in found] == [False, True, False]
    assert {survivor["function"] for survivor in found} == {"f"}
    assert found[0]["change"] == "if a: => if not a:"


def test_methods_keep_their_class_in_their_name():
    assert judge._plain("xǁLedgerǁappend__mutmut_orig") == "Ledger.append"


def test_a_score_leaves_out_words_and_nothing_else():
    survivor = {"function": "f", "change": "a => b", "words": False, "untested": False}
    found = {"date": "d", "mutants": 10, "killed": 6, "survivors": [survivor] * 2 + [{**survivor, "words": True}] * 2}
    assert results.score(found) == 0.75
    text = page.render({UNITS[0].module: found}, [])
    assert "75.0 %" in text
    assert text.count("| `f` | `a => b` | open |") == 2
    assert "because" in page.render({UNITS[0].module: found}, [("f: a => b", "because")])


def test_every_module_that_is_mutated_and_its_tests_are_there(root):
    for unit in UNITS:
        assert (root / unit.module).is_file()
        assert all((root / test).is_file() for test in unit.tests)
    assert set(results.load()) <= {unit.module for unit in UNITS}
