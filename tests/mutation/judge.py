"""Says of a mutant that survived what it changed, and whether that is only what a person reads."""

from __future__ import annotations

import ast
import difflib
from typing import Any

_REFUSALS = {
    "NotAcceptable", "NotGenuine", "Malformed", "NotReleased", "UsageError", "BudgetSpent", "CannotOpen", "Unreachable",
}  # fmt: skip


def survivor(source: str, name: str, *, untested: bool) -> dict[str, Any]:
    """One survivor: function, the lines that differ, whether only words for a person do, whether no test reaches it."""
    mutant = name.rpartition(".")[2]
    original = mutant[: mutant.rindex("__mutmut_")] + "__mutmut_orig"
    functions = {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    one, other = functions[original], functions[mutant]
    before, after = _lines(one), _lines(other)
    changed = [line for line in difflib.ndiff(before, after) if line[:2] in ("- ", "+ ")]
    return {
        "function": _plain(original), "change": " => ".join(line[2:].strip() for line in changed)[:400],
        "words": _silenced(one) == _silenced(other), "untested": untested,
    }  # fmt: skip


def _lines(node: ast.FunctionDef) -> list[str]:
    return "\n".join(ast.unparse(statement) for statement in node.body).splitlines()


def _plain(mangled: str) -> str:
    """`xǁLedgerǁappend__mutmut_orig` and `x_append__mutmut_orig` are `Ledger.append` and `append`."""
    name = mangled.removesuffix("__mutmut_orig").removeprefix("x")
    return name.strip("ǁ").replace("ǁ", ".") if name.startswith("ǁ") else name.removeprefix("_")


def _silenced(node: ast.FunctionDef) -> str:
    """The function's body without messages and hints of refusals."""
    copy = ast.parse(ast.unparse(node)).body[0]
    for call in (n for n in ast.walk(copy) if isinstance(n, ast.Call)):
        named = call.func.id if isinstance(call.func, ast.Name) else ""
        if named in _REFUSALS:
            first = 0 if named in ("UsageError", "Unreachable") else 1
            call.args = call.args[:first]
            call.keywords = [k for k in call.keywords if k.arg != "hint"]
    assert isinstance(copy, ast.FunctionDef)
    return "\n".join(_lines(copy))
