"""Generated pages and blocks: `python -m tests.documents --write` makes them, `--check` fails when one is stale."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from sealroom.client.cli import cli
from tests import tcb
from tests.fuzz import page as fuzzing_page
from tests.hostile_host import page as hostile_page
from tests.jail import pages as jobs_page
from tests.mutation import page as mutation_page
from tests.redteam import page as redteam_page

ROOT = Path(__file__).resolve().parent.parent


def readme() -> str:
    """The README with the command's own help in it."""
    text = (ROOT / "README.md").read_text("utf-8")
    start, end = "<!-- help: generated -->", "<!-- /help -->"
    head, _, rest = text.partition(start)
    context = click.Context(cli, info_name="sealroom", max_content_width=100, terminal_width=100)
    block = "\n".join(f"    {line}".rstrip() for line in cli.get_help(context).splitlines())
    return f"{head}{start}\n\n{block}\n\n{end}{rest.partition(end)[2]}"


PAGES: dict[str, Callable[[], str]] = {
    "README.md": readme,
    "docs/FUZZING.md": fuzzing_page.render,
    "docs/HOSTILE_HOST.md": hostile_page.render,
    "docs/JOBS.md": lambda: jobs_page.fill(jobs_page.JOBS.read_text("utf-8")),
    "docs/MUTATION.md": mutation_page.render,
    "docs/REDTEAM.md": redteam_page.render,
    "docs/TCB.md": tcb.render,
}


def stale() -> list[str]:
    """Pages whose file is not what would be written now."""
    return [name for name, render in PAGES.items() if (ROOT / name).read_text("utf-8") != render()]


def main(mode: str) -> int:
    if mode == "--write":
        for name, render in PAGES.items():
            (ROOT / name).write_text(render(), "utf-8")
    found = stale()
    if found:
        sys.stderr.write(f"stale: {', '.join(found)}; refresh with: python -m tests.documents --write\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
