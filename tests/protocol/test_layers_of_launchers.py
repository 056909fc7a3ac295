"""The layers that launchers must put in force: the same list in the code, in the specification and in an agreement."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from sealroom.protocol import agreement, confinement

SPEC = Path(__file__).resolve().parents[2] / "docs" / "SPEC.md"


def test_the_specification_lists_every_required_layer_and_what_it_means() -> None:
    section = SPEC.read_text("utf-8").partition("## 11. Launchers")[2]
    rows = re.findall(r"^\| `(\w+)` \| `([a-z-]+)` \| (.*) \|$", section, re.MULTILINE)
    said = [(launcher, layer, means) for launcher, of in confinement.REQUIRED.items() for layer, means in of.items()]
    assert rows == said
    assert all(f"`{profile}`" in section for profile in confinement.SECCOMP_PROFILES)


def test_every_launcher_that_can_be_agreed_has_required_layers() -> None:
    (one, _) = get_args(get_type_hints(agreement.Agreement)["launchers"])
    assert set(confinement.REQUIRED) == set(get_args(confinement.Launcher)) == set(get_args(one))
    assert all(confinement.REQUIRED.values())


@pytest.mark.parametrize("launcher", list(confinement.REQUIRED))
def test_missing_layers_are_named_in_order(launcher: confinement.Launcher) -> None:
    layers = sorted(confinement.REQUIRED[launcher])
    assert confinement.missing(launcher, layers) == ()
    assert confinement.missing(launcher, [*layers[1:], "another"]) == (layers[0],)
    assert confinement.missing(launcher, []) == tuple(layers)
