"""Looks whether it could still gain privileges by running a set-user-id program."""

from tools import call


def run(tables, ask):
    return [] if call(157, 39, 0, 0, 0, 0) else [0, 1]  # PR_GET_NO_NEW_PRIVS
