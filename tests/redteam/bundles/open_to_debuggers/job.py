"""Makes itself readable for other processes of the same user."""

from tools import call


def run(tables, ask):
    call(157, 4, 1)  # PR_SET_DUMPABLE
    return [0, 1] if call(157, 3) == 1 else []
