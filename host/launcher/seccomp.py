"""The system calls that a container may make, spelled out; everything else fails with EPERM.

Runs in: host.   Believes: nothing.   Spec: §11.

Beside what a Python program needs, the list holds what the enclave builds its own inner sandbox from: Landlock,
seccomp, prctl, sealed memory, fork, pidfd. Left out on purpose: io_uring, bpf, perf, userfaultfd, keyrings, ptrace and
reading other processes, namespaces and mounts, modules, System V and POSIX queues, splice, listening sockets, sockets
other than AF_UNIX (netlink and vsock too), and every architecture but x86-64: int 0x80 and x32 end the process.
"""

from __future__ import annotations

import json
from typing import Any

_AF_UNIX = 1
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_ENOSYS = 38

_FILES = """
access chdir chmod close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate
fchdir fchmod fchmodat fcntl fdatasync flock fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64
ioctl lseek lstat mkdir mkdirat newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev
pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile stat statfs statx
sync_file_range truncate umask unlink unlinkat utime utimensat utimes write writev
"""
_MEMORY = """
brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock
munlockall munmap pkey_alloc pkey_free pkey_mprotect
"""
_PROCESSES = """
arch_prctl capget execve exit exit_group fork get_robust_list getcpu getegid geteuid getgid getgroups getpgid
getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid prctl prlimit64 rseq
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getparam sched_getscheduler sched_setaffinity
sched_yield set_robust_list set_tid_address setpgid setrlimit setsid sysinfo uname vfork wait4 waitid
"""
_SIGNALS = """
kill pause pidfd_open pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd signalfd4 tgkill tkill
"""
_TIME = """
alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time timer_create
timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
"""
_WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_waitv
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch poll ppoll pselect6 select
"""
_UNIX_SOCKETS = """
connect getpeername getsockname getsockopt recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto setsockopt shutdown
"""
# capset: the enclave empties its own sets once more; without capabilities, nothing can be gained by it.
_SANDBOX = "capset getrandom landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp"


def allowed() -> list[str]:
    """The names of the calls that are allowed whatever their arguments, sorted."""
    groups = (_FILES, _MEMORY, _PROCESSES, _SIGNALS, _TIME, _WAITING, _UNIX_SOCKETS, _SANDBOX)
    return sorted({name for group in groups for name in group.split()})


def profile() -> str:
    """The profile as the JSON text that a container engine takes."""
    rules: list[dict[str, Any]] = [
        {"names": allowed(), "action": "SCMP_ACT_ALLOW"},
        {"names": ["socket", "socketpair"], "action": "SCMP_ACT_ALLOW", "args": [_argument(_AF_UNIX, "SCMP_CMP_EQ")]},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [_argument(_NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ")]},
        # Its flags lie in memory, where a filter cannot see them; libc falls back to clone.
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
    ]
    return json.dumps(
        {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules},
        separators=(",", ":"),
    )


def _argument(value: int, compare: str) -> dict[str, Any]:
    """The first argument equals `value`, or has none of its bits set."""
    return {"index": 0, "value": value, "valueTwo": 0, "op": compare}
