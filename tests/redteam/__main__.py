"""Runs every hostile bundle in every place there is.

    python -m tests.redteam [--write] [--place process|docker] [--only NAME ...]

Prints one line per case and place and ends with `N passed, N failed`; `--write` renews docs/REDTEAM.md.
"""

from __future__ import annotations

import argparse
import sys

from tests.redteam import page, places


def main() -> int:
    """Run, print, and renew the page if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.redteam", description="run the hostile bundles")
    parser.add_argument("--write", action="store_true", help="renew docs/REDTEAM.md")
    parser.add_argument("--place", choices=["process", "docker"], help="one place only")
    parser.add_argument("--only", nargs="*", default=[], help="names of cases")
    arguments = parser.parse_args()
    results: list[str] = []
    if arguments.place != "docker":
        print("as a process", flush=True)
        results += places.in_process(places.ROOT / "build" / "image", arguments.only).values()
    if arguments.place != "process":
        results += _docker(arguments.only, wanted=arguments.place == "docker")
    failed = sum(text.startswith("FAILED") for text in results)
    if arguments.write and not failed:
        (places.ROOT / "docs" / "REDTEAM.md").write_text(page.render(), "utf-8")
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed or not results else 0


def _docker(only: list[str], *, wanted: bool) -> list[str]:
    try:
        engine, image = places.built_image()
        print("in a container", flush=True)
        return list(places.in_container(engine, image, only).values())
    except places.NoPlaceError as error:
        if wanted:
            raise SystemExit(f"sealroom: error: {error}") from error
        print(f"not in a container: {error}", flush=True)
        return []


if __name__ == "__main__":
    sys.exit(main())
