"""Says something by the signal that it dies of."""

from tools import machine_code


def run(tables, ask):
    machine_code(bytes.fromhex("31c9 31d2 b801000000 f7f9 c3"))  # 1 / 0: SIGFPE, and not SIGSEGV or SIGILL
