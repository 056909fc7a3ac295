"""One prepared template for the whole folder, and a scene for each case."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.programs import ALL, IMAGE, ROOT
from tests.crash.setting import Scene
from tests.crash.template import Template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    if not (IMAGE / "launch.json").is_file():
        pytest.fail("there is no image: run `make image` first")
    made = Template(tmp_path_factory.mktemp("crash"))
    with made.processor():
        yield made


@pytest.fixture
def scene(template: Template, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(template, tmp_path / "scene")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def table() -> Iterator[list[tuple[str, str, str]]]:
    """Victim, step and outcome, as they were played; the whole table ends up in build/crash/table.json."""
    found: list[tuple[str, str, str]] = []
    yield found
    if not ALL:
        return
    folder = ROOT / "build" / "crash"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(json.dumps(found, indent=0) + "\n", "utf-8")
