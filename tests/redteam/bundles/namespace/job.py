"""Makes itself root of a user namespace, from where more of the kernel can be reached."""

from tools import call


def run(tables, ask):
    call(272, 0x10000000)  # unshare, CLONE_NEWUSER
    return [0, 1]
