"""Asks for the kernel's keyring of this session."""

from tools import call


def run(tables, ask):
    call(250, 0, -3, 1)  # KEYCTL_GET_KEYRING_ID, the session's, made if there is none
    return [0, 1]
