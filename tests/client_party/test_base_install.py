"""The base install is what a party's commands import: no package more, and none less."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests import tcb

MODULES = {
    "cryptography": "cryptography", "pynacl": "nacl", "rfc8785": "rfc8785", "click": "click", "httpx2": "httpx2",
    "http-message-signatures": "http_message_signatures", "platformdirs": "platformdirs",
}  # fmt: skip
"""What each package of the base install is imported as."""
OPERATORS_ONLY = {"docker": "sealroom.client.demo.containers"}
"""Imported inside a function, by the one module named, where containers are launched."""


def declared(root: Path) -> set[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return {re.split(r"[<>=\[ ]", line)[0] for line in project["dependencies"]}


@pytest.fixture(scope="module")
def reached() -> dict[str, set[str]]:
    """Outside packages that a party's commands reach, and from which of our modules."""
    graph = tcb.graph()
    own = {m for m in graph.modules if m.split(".")[:2] == ["sealroom", "client"]}
    ours = own | {m for start in own for m in graph.find_upstream_modules(start) if m.startswith("sealroom")}
    found: dict[str, set[str]] = {}
    for module in ours:
        for package in tcb.outside_packages(graph, [module]):
            found.setdefault(package, set()).add(module)
    return found


def test_the_base_install_is_exactly_what_a_partys_commands_reach(root: Path, reached: dict[str, set[str]]) -> None:
    assert set(MODULES) == declared(root)
    assert set(reached) - set(OPERATORS_ONLY) == set(MODULES.values())


def test_what_only_operators_have_is_imported_in_one_place(reached: dict[str, set[str]]) -> None:
    for package, module in OPERATORS_ONLY.items():
        assert reached[package] == {module}


def test_what_is_declared_is_also_locked(root: Path) -> None:
    wanted = {re.split(r"[<>=\[ ]", line)[0] for line in (root / "requirements" / "dev.in").read_text().splitlines()}
    wanted |= {re.split(r"[<>=\[ ]", line)[0] for line in (root / "requirements" / "gate.in").read_text().splitlines()}
    assert declared(root) <= wanted
    assert "rich" not in wanted


PIN = re.compile(r"^[A-Za-z0-9._-]+==[^ ;\\]+", re.MULTILINE)


@pytest.mark.parametrize(("name", "extra"), [("party", None), ("host", "host")])
def test_images_of_programs_get_the_base_install_and_the_operators_extra_as_everybody_has_them_locked(
    root: Path, name: str, extra: str | None
) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    folder = root / "requirements"
    asked = {line for line in (folder / f"{name}.in").read_text("utf-8").splitlines() if line[0] not in "#-"}
    assert asked == set(project["dependencies"] if extra is None else project["optional-dependencies"][extra])
    locked = {file: set(PIN.findall((folder / f"{file}.txt").read_text("utf-8"))) for file in ("dev", name)}
    assert locked[name] <= locked["dev"]
