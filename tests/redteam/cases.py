"""What is tried, what stops it, and how one sees that it would have worked."""

from __future__ import annotations

import dataclasses

from sealroom.enclave.jail.outcomes import Outcome

LANDLOCK = ("landlock-files", "landlock-net", "landlock-scope")
LOOK_INSIDE = ("seccomp", *LANDLOCK)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One hostile bundle; its docstring says what it tries.

    Attributes:
        name: folder of the bundle.
        stopped: layers that stop it, first the one that comes first; all are taken away for the second run.
        ends: outcomes that the first run may end in.
        proof: channel of the world on which the second run is seen, or `outcome`: the bundle returns only on success.
        outer: what says so where the machine does not offer the thing at all, and that run fails for another reason.
        errno: the error in that case, or a negative signal number; with the layer there is none, or another.
        seen: whether the second run has succeeded anywhere; x32 is built into hardly any kernel.
        contained: whether the container's settings stop it when the jail's layers do not.
    """

    name: str
    stopped: tuple[str, ...]
    ends: frozenset[Outcome]
    proof: str = "outcome"
    outer: str = ""
    errno: int = 0
    seen: bool = True
    contained: bool = True
    ask: str = "rows"


def _ends(*outcomes: Outcome) -> frozenset[Outcome]:
    return frozenset(outcomes)


_ERROR, _KILLED = _ends("error"), _ends("killed")

CASES = (
    Case(name="tcp_connect", stopped=("seccomp", "landlock-net"), ends=_ERROR, proof="tcp"),
    Case(name="udp_send", stopped=("seccomp",), ends=_ERROR, proof="udp"),
    Case(name="unix_path", stopped=("seccomp",), ends=_ERROR, proof="unix"),
    Case(name="unix_abstract", stopped=("seccomp", "landlock-scope"), ends=_ERROR, proof="abstract"),
    Case(name="netlink", stopped=("seccomp",), ends=_ERROR),
    Case(name="socketpair", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="raw_syscall", stopped=("seccomp",), ends=_ERROR),
    Case(
        name="int80_syscall", stopped=("seccomp",), ends=_KILLED, outer="without 32-bit calls in the kernel", errno=-11
    ),
    Case(
        name="x32_syscall", stopped=("seccomp",), ends=_KILLED, outer="without x32 in the kernel", errno=38, seen=False
    ),
    Case(name="io_uring", stopped=("seccomp", "limits"), ends=_KILLED, outer="with io_uring disabled", errno=1),
    Case(name="namespace", stopped=("seccomp",), ends=_KILLED, outer="with user namespaces disabled", errno=1),
    Case(name="userfaultfd", stopped=("seccomp",), ends=_KILLED, outer="with userfaultfd disabled", errno=1),
    Case(name="proc_mem", stopped=LANDLOCK, ends=_ERROR, contained=False),
    Case(name="proc_environ", stopped=("landlock-files", "dumpable"), ends=_ERROR, contained=False),
    Case(name="proc_list", stopped=("landlock-files",), ends=_ERROR, contained=False),
    Case(name="read_file", stopped=("landlock-files",), ends=_ERROR, contained=False),
    Case(name="environment", stopped=("environment",), ends=_ends("bad-output"), contained=False),
    Case(name="ptrace", stopped=LOOK_INSIDE, ends=_KILLED),
    Case(name="process_vm", stopped=LOOK_INSIDE, ends=_KILLED),
    Case(name="pidfd_getfd", stopped=LOOK_INSIDE, ends=_ERROR),
    Case(name="open_to_debuggers", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="raise_privilege", stopped=("seccomp", "no-new-privs", *LANDLOCK), ends=_ERROR),
    Case(name="fork", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="thread_bomb", stopped=("thread-watch",), ends=_KILLED, contained=False),
    Case(name="memory_bomb", stopped=("limits",), ends=_ends("out-of-memory"), contained=False),
    Case(name="disk_bomb", stopped=("seccomp", "landlock-files", "limits"), ends=_ERROR, proof="file", contained=False),
    Case(
        name="leftover_file",
        stopped=("seccomp", "landlock-files", "limits"),
        ends=_ERROR,
        proof="file",
        contained=False,
    ),
    Case(name="memfd_bomb", stopped=("seccomp", "limits"), ends=_ERROR, contained=False),
    Case(name="exec", stopped=("seccomp", "landlock-files", "limits"), ends=_ERROR, proof="file"),
    Case(name="memfd_exec", stopped=("seccomp", "landlock-files", "limits"), ends=_ERROR, proof="file"),
    Case(name="signal", stopped=("seccomp", "landlock-scope"), ends=_ERROR, proof="signal", contained=False),
    Case(name="signal_owner", stopped=("seccomp", "landlock-scope"), ends=_ERROR, proof="signal", contained=False),
    Case(name="sysv_memory", stopped=("seccomp",), ends=_ERROR, proof="sysv-memory"),
    Case(name="sysv_queue", stopped=("seccomp",), ends=_ERROR, proof="sysv-queue"),
    Case(name="posix_queue", stopped=("seccomp", "landlock-files", "limits"), ends=_ERROR, proof="posix-queue"),
    Case(
        name="keyring",
        stopped=("seccomp",),
        ends=_KILLED,
        proof="keyring",
        outer="without keyrings in the kernel",
        errno=38,
    ),
    Case(name="process_name", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="stdout", stopped=("descriptors",), ends=_ends("ok"), proof="printed", contained=False),
    Case(name="descriptors", stopped=("descriptors",), ends=_ends("bad-output"), proof="forged", contained=False),
    Case(name="outlive", stopped=("session",), ends=_ends("bad-output"), contained=False),
    Case(name="never_returning", stopped=("limits",), ends=_ends("out-of-time"), contained=False),
    Case(name="dns_lookup", stopped=("seccomp",), ends=_ERROR, proof="udp"),
    Case(name="http_by_pandas", stopped=("seccomp", "landlock-net"), ends=_ERROR, proof="tcp"),
    Case(name="parent_environ", stopped=(*LANDLOCK, "capabilities"), ends=_ERROR, contained=False),
    Case(name="parent_descriptors", stopped=LANDLOCK, ends=_ERROR, contained=False),
    Case(name="own_descriptors", stopped=("landlock-files", "dumpable"), ends=_ERROR, contained=False),
    Case(name="mounts", stopped=("landlock-files",), ends=_ERROR, contained=False),
    Case(name="thread_signal", stopped=("seccomp", "landlock-scope"), ends=_ERROR, proof="signal", contained=False),
    Case(name="queued_signal", stopped=("seccomp", "landlock-scope"), ends=_ERROR, proof="signal", contained=False),
    Case(name="pidfd_signal", stopped=("seccomp", "landlock-scope"), ends=_ERROR, proof="signal", contained=False),
    Case(name="signal_everybody", stopped=("seccomp", "landlock-scope"), ends=_ERROR, contained=False),
    Case(name="niceness", stopped=("seccomp",), ends=_ERROR),
    Case(name="affinity", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="bpf", stopped=("seccomp", "capabilities"), ends=_KILLED, outer="as an ordinary user", errno=1),
    Case(name="perf_event", stopped=("seccomp",), ends=_KILLED, outer="without perf for everybody", errno=13),
    Case(name="mount", stopped=LOOK_INSIDE, ends=_KILLED, outer="with user namespaces disabled", errno=1),
    Case(name="keyctl", stopped=("seccomp",), ends=_KILLED, outer="without keyrings in the kernel", errno=38),
    Case(name="file_handle", stopped=("seccomp",), ends=_KILLED),
    Case(name="reserved_memory", stopped=("limits",), ends=_ERROR, contained=False),
    Case(name="locked_memory", stopped=("seccomp", "limits"), ends=_ERROR, contained=False),
    Case(name="descriptor_bomb", stopped=("limits",), ends=_ERROR, contained=False),
    Case(name="raise_limits", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="limits_of_others", stopped=("seccomp", *LANDLOCK), ends=_ERROR, proof="limits", contained=False),
    Case(name="robust_list", stopped=LOOK_INSIDE, ends=_ERROR, contained=False),
    Case(name="shared_futex", stopped=("seccomp",), ends=_ERROR, proof="futex", contained=False),
    Case(name="file_lock", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="file_lease", stopped=("seccomp",), ends=_ERROR),
    Case(name="file_mode", stopped=("seccomp",), ends=_ERROR, proof="mode", contained=False),
    Case(name="file_times", stopped=("seccomp",), ends=_ERROR, proof="times", contained=False),
    Case(name="file_attribute", stopped=("seccomp",), ends=_ERROR, proof="attribute"),
    Case(name="inotify", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="terminal", stopped=("seccomp", "landlock-files"), ends=_ERROR, contained=False),
    Case(name="descriptor_settings", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="own_filter", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="own_landlock", stopped=("seccomp", "landlock-files"), ends=_ERROR, contained=False),
    Case(name="personality", stopped=("seccomp",), ends=_ERROR),
    Case(name="segments", stopped=("seccomp",), ends=_ERROR),
    Case(name="deathless", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="compare_processes", stopped=LOOK_INSIDE, ends=_KILLED),
    Case(
        name="advise_others", stopped=(*LOOK_INSIDE, "capabilities"), ends=_ERROR, outer="as an ordinary user", errno=1
    ),
    Case(name="move_pages", stopped=LOOK_INSIDE, ends=_ERROR),
    Case(name="resident_pages", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="splice", stopped=("seccomp",), ends=_ERROR),
    Case(name="secret_memory", stopped=("seccomp",), ends=_ERROR, contained=False),
    Case(name="pickled_program", stopped=("seccomp", "landlock-files", "limits"), ends=_ERROR, proof="file"),
    Case(name="evaluated_text", stopped=("landlock-files",), ends=_ERROR, contained=False),
    Case(name="catch_time_limit", stopped=("limits",), ends=_ends("out-of-time"), contained=False),
    Case(name="many_threads_time", stopped=("limits",), ends=_ends("out-of-time"), contained=False),
)
