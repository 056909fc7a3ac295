"""Makes a system call of the x32 table, which a filter of plain numbers does not know."""

from tools import call


def run(tables, ask):
    call(0x40000000 | 39)  # getpid
    return [0, 1]
