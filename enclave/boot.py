"""The first code of the image: choose what this process can import, then become one of the enclave's programs.

Runs in: gate, engine, zygote; an author's mock run.   Believes: the image around it.   Spec: §9.

Called as `python3 -I -S -B <image>/app/boot.py gate|engine|zygote|mock [descriptor]`. Nothing but the image and its
interpreter's standard library can be imported: no packages of the machine, no `.pth` files, no current folder.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

# role -> the folder of packages that it may import, its module.
ROLES = {
    "gate": ("gate", "sealroom.enclave.gate.main"),
    "engine": ("job", "sealroom.enclave.engine.serve"),
    "zygote": ("job", "sealroom.enclave.jail.zygote"),
    "mock": ("job", "sealroom.enclave.mock.main"),  # never part of a run: see docs/JOBS.md
}
MISUSE = 2


def main(arguments: list[str]) -> int:
    """Run the program that `arguments` name and return its exit status."""
    flags = sys.flags
    if not (flags.isolated and flags.no_site and flags.dont_write_bytecode):
        return _complain("start with -I -S -B, so that only the image is imported")
    if not arguments or arguments[0] not in ROLES:
        return _complain(f"expected one of {', '.join(ROLES)}")
    packages, module = ROLES[arguments[0]]
    control = arguments[1:]
    if len(control) != (arguments[0] != "gate") or not all(text.isdecimal() for text in control):
        return _complain("gate takes nothing, the others take the number of their control descriptor")
    app = Path(__file__).resolve().parent
    sys.path += [str(app), str(app.parent / packages)]
    program = importlib.import_module(module)
    return int((program.main(int(control[0])) if control else program.main(app.parent)) or 0)


def _complain(message: str) -> int:
    sys.stderr.write(f"boot: error: {message}\n")
    return MISUSE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
