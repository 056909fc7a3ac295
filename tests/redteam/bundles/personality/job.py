"""Has all readable memory be executable and nothing be random, for an exploit to come."""

from tools import call


def run(tables, ask):
    call(135, 0x0440000)  # READ_IMPLIES_EXEC | ADDR_NO_RANDOMIZE
    return [0, 1] if call(135, 0xFFFFFFFF) == 0x0440000 else []
