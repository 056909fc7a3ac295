"""Makes a 32-bit system call, whose numbers mean other calls."""

from tools import machine_code


def run(tables, ask):
    # push rbx; mov eax,20; int 0x80; pop rbx; ret  -- getpid of the i386 table
    pid = machine_code(bytes.fromhex("53 b814000000 cd80 5b c3"))
    return [0, 1] if pid > 0 else []
