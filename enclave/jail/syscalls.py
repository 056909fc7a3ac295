"""Which system calls a confined process may make; what is not listed fails with EPERM.

Runs in: jail, engine.   Believes: nothing.   Source: the kernel's arch/x86/entry/syscalls/syscall_64.tbl.
"""

from __future__ import annotations

from typing import Final


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NUMBERS: Final = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
    "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "ioctl": 16, "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "access": 21, "select": 23,
    "sched_yield": 24, "mremap": 25, "mincore": 27, "madvise": 28, "dup": 32, "dup2": 33, "nanosleep": 35,
    "getpid": 39, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "shutdown": 48, "clone": 56,
    "exit": 60, "uname": 63, "fcntl": 72, "fsync": 74, "ftruncate": 77, "getcwd": 79, "readlink": 89,
    "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "times": 100, "ptrace": 101, "getuid": 102,
    "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110, "getpgrp": 111, "sigaltstack": 131, "statfs": 137,
    "fstatfs": 138, "acct": 163, "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169, "init_module": 175,
    "delete_module": 176, "gettid": 186, "time": 201, "futex": 202, "sched_getaffinity": 204, "getdents64": 217,
    "set_tid_address": 218, "restart_syscall": 219, "fadvise64": 221, "clock_gettime": 228, "clock_getres": 229,
    "clock_nanosleep": 230, "exit_group": 231, "epoll_wait": 232, "epoll_ctl": 233, "tgkill": 234, "kexec_load": 246,
    "add_key": 248, "request_key": 249, "keyctl": 250, "openat": 257, "newfstatat": 262, "readlinkat": 267,
    "faccessat": 269, "pselect6": 270, "ppoll": 271, "unshare": 272, "set_robust_list": 273, "get_robust_list": 274,
    "vmsplice": 278, "eventfd2": 290, "epoll_create1": 291, "dup3": 292, "pipe2": 293, "perf_event_open": 298,
    "fanotify_init": 300, "prlimit64": 302, "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308,
    "getcpu": 309, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
    "getrandom": 318, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "membarrier": 324,
    "statx": 332, "rseq": 334, "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430, "clone3": 435, "openat2": 437,
    "pidfd_getfd": 438, "faccessat2": 439, "process_madvise": 440,
}  # fmt: skip

JOB: Final = _names(
    "read write close mmap munmap madvise mprotect brk mremap lseek fstat newfstatat stat lstat statx "
    "getdents64 readlink readlinkat access faccessat faccessat2 pread64 readv writev poll ppoll select pselect6 "
    "sched_yield dup dup2 dup3 nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time "
    "times getpid getppid getpgrp gettid getuid getgid geteuid getegid getcwd uname getrlimit getrusage "
    "sched_getaffinity getcpu getrandom membarrier rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack "
    "restart_syscall set_robust_list rseq fadvise64 exit exit_group "
)
"""For opaque code: files can be read as far as Landlock lets them, memory had as far as the limits go.

Calls of which only some forms pass (clone, fcntl, futex, open and the like) are in `seccomp.build`.
"""

READER: Final = JOB + _names("eventfd2 pipe2 set_tid_address ")
"""For the parsers of an owner's file, which have a thread read ahead."""

ENGINE: Final = READER + _names(
    "sendmsg recvmsg sendto recvfrom shutdown memfd_create ftruncate fsync pwrite64 epoll_create1 epoll_ctl "
    "epoll_wait sysinfo statfs fstatfs "
)
"""For the engine: it talks over the socket it has and makes memory files, but opens no socket and no file to write."""

KILL: Final = _names(
    "ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd pidfd_send_signal kcmp bpf userfaultfd "
    "perf_event_open fanotify_init io_uring_setup io_uring_enter io_uring_register add_key request_key keyctl "
    "mount umount2 open_tree move_mount fsopen unshare setns swapon reboot acct init_module finit_module "
    "delete_module kexec_load kexec_file_load name_to_handle_at open_by_handle_at vmsplice "
)
"""No analytics library makes these: an attempt ends the process instead of telling it so."""
