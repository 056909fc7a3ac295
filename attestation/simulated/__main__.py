"""Command line of the simulated processor.

Runs in: the operator's machine, outside the enclave.   Believes: its arguments.   Spec: §6.6.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path

from sealroom.attestation.simulated.processor import Processor, create, load
from sealroom.attestation.simulated.serve import Service, serve
from sealroom.attestation.simulated.words import WARNING
from sealroom.protocol.errors import SealroomError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it worked, 1 if it was refused."""
    chosen = _parser().parse_args(arguments)
    print(f"sealroom: warning: {WARNING}", file=sys.stderr)
    try:
        if chosen.command == "init":
            _init(chosen.home)
        else:
            _serve(chosen.home, chosen.socket, chosen.unsafe_guest_errors)
    except (SealroomError, OSError) as error:
        print(f"sealroom: error: {error}", file=sys.stderr)
        if hint := getattr(error, "hint", ""):
            print(f"sealroom: hint: {hint}", file=sys.stderr)
        return 1
    return 0


def _init(home: Path) -> None:
    """Make a processor, or leave the one that is there as it is; either way print its root's fingerprint."""
    processor: Processor
    if (home / "processor.json").exists():
        processor = load(home)
        print(f"sealroom: {home} holds a simulated processor already; nothing was changed", file=sys.stderr)
    else:
        processor = create(home, now=int(time.time()))
    print(processor.root)


def _serve(home: Path, path: Path, errors_path: Path | None) -> None:
    processor = load(home)
    with contextlib.ExitStack() as stack:
        errors = None
        if errors_path is not None:
            print("sealroom: warning: guests write to a file that the operator can read", file=sys.stderr)
            errors = stack.enter_context(open(errors_path, "ab"))
        ready = f"sealroom: simulated processor {processor.root[:16]} serves on {path}"
        serve(Service(processor, errors=errors), path, ready=lambda: print(ready, file=sys.stderr, flush=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sealroom.attestation.simulated", description=WARNING)
    commands = parser.add_subparsers(dest="command", required=True)
    init = commands.add_parser("init", help="make keys and certificates, and print the root's fingerprint")
    server = commands.add_parser("serve", help="launch guests and answer their requests for reports")
    for command in (init, server):
        command.add_argument("--home", type=Path, required=True, help="folder of keys and certificates")
    server.add_argument("--socket", type=Path, required=True, help="Unix socket to serve on")
    server.add_argument(
        "--unsafe-guest-errors", type=Path, help="file for guests' standard error; owners give such guests no key"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
