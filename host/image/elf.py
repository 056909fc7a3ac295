"""Makes a program or library find libpython beside itself, by rewriting two kinds of strings in place.

Runs in: operator's and owners' machines, before any run.   Believes: the machine's linker.   Spec: §6.4.

An interpreter carries the folder it was installed in (DT_RUNPATH). A copy would go on loading libpython from there,
past the measurement, wherever that folder exists. Format: ELF-64 little-endian, System V gABI chapter 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from sealroom.host.image.errors import BuildError

_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<QQ")
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 1, 5, 15, 29
_HERE = b"$ORIGIN"


def relocate(path: Path) -> None:
    """Rewrite the file's run path to its own folder, and its need of any libpython to the file `libpython` there.

    Raises:
        BuildError: not ELF-64 for x86-64, or a string is too short to be rewritten in place.
    """
    data = bytearray(path.read_bytes())
    if data[:6] != b"\x7fELF\x02\x01" or _HEADER.unpack_from(data)[1] != 62:
        raise BuildError(f"{path.name} is not an x86-64 program or library")
    for tag, at in list(_strings(data)):
        text = bytes(data[at : data.index(0, at)])
        if tag in (_DT_RPATH, _DT_RUNPATH):
            _overwrite(data, at, text, _HERE, path)
        elif text.rpartition(b"/")[2].startswith(b"libpython"):
            _overwrite(data, at, text, _HERE + b"/libpython", path)
    path.write_bytes(data)


def _overwrite(data: bytearray, at: int, old: bytes, new: bytes, path: Path) -> None:
    if len(new) > len(old):
        raise BuildError(f"{path.name}: no room to replace {old.decode(errors='replace')!r}")
    data[at : at + len(old)] = new.ljust(len(old), b"\0")


def _strings(data: bytearray) -> Iterator[tuple[int, int]]:
    """(tag, place in the file) of each needed library and run path."""
    programs = list(_programs(data))
    tags = [
        _DYNAMIC.unpack_from(data, offset + step)
        for kind, offset, _, size in programs
        if kind == _PT_DYNAMIC
        for step in range(0, size - size % _DYNAMIC.size, _DYNAMIC.size)
    ]
    tables = [value for tag, value in tags if tag == _DT_STRTAB]
    for tag, value in tags:
        if tag in (_DT_NEEDED, _DT_RPATH, _DT_RUNPATH):
            yield tag, _place(programs, tables[0] + value)


def _programs(data: bytearray) -> Iterator[tuple[int, int, int, int]]:
    """(kind, place in the file, address, size in the file) of each segment."""
    header = _HEADER.unpack_from(data)
    start, size, count = header[4], header[8], header[9]
    for number in range(count):
        kind, _, offset, address, _, in_file, _, _ = _PROGRAM.unpack_from(data, start + number * size)
        yield kind, offset, address, in_file


def _place(programs: list[tuple[int, int, int, int]], address: int) -> int:
    for kind, offset, start, size in programs:
        if kind == _PT_LOAD and start <= address < start + size:
            return offset + address - start
    raise BuildError("a program's string table lies in none of its segments")
