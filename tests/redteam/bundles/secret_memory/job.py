"""Makes memory that not even the kernel can read, for whoever it passes it on to."""

from tools import call


def run(tables, ask):
    call(447, 0)  # memfd_secret
    return [0, 1]
