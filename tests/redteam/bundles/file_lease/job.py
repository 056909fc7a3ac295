"""Takes a lease on a library's file, to be told when others open it."""

import fcntl

import target


def run(tables, ask):
    with open(target.LIBRARY, "rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        return [0, 1] if fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_RDLCK else []
