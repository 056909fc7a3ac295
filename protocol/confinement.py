"""Layers of confinement that a launcher puts around an enclave, by name: one list that every zone means the same by.

Runs in: processor, parties.   Believes: nothing.   Spec: §11.

The platform states in the launch configuration which layers it saw in force; an owner gives no key when one is missing.
Layers inside the enclave, around engine and jails, are required by the measured image (`launch.json`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

Launcher = Literal["process", "docker"]

REQUIRED: Final[Mapping[Launcher, Mapping[str, str]]] = {
    "process": {
        "dies-with-processor": "it is killed when the process that measured it ends",
        "empty-standard-streams": "standard input, output and error lead nowhere",
        "no-core-dumps": "its memory is never written to a file",
        "no-new-privileges": "no program can raise privileges",
        "own-session": "no terminal, and no process group of somebody else",
    },
    "docker": {
        "hidden-kernel-files": "the engine hides files of /proc and /sys, or makes them read-only",
        "memory-limit": "a limit on memory without swap, and the kernel may end it when it is reached",
        "no-capabilities": "every capability is dropped and none added",
        "no-core-dumps": "its memory is never written to a file",
        "no-devices": "no device of the machine",
        "no-foreign-files": "no volume of another container, no further group",
        "no-foreign-settings": "no kernel setting, host name or link of its own",
        "no-host-namespaces": "processes, users, names and shared memory of its own",
        "no-log": "its output goes nowhere",
        "no-network": "no network but its own loopback, no open port",
        "no-new-privileges": "no program can raise privileges",
        "no-restart": "it is never started again",
        "ordinary-user": "it does not run as root",
        "own-files-only": "of the machine's files it sees its run's socket and reports; temporary files cannot be run",
        "process-limit": "a limit on processes and threads",
        "read-only-root": "its root file system is read-only",
        "seccomp": "one of the profiles of system calls that the specification names by digest",
        "unprivileged": "not a privileged container",
    },
}
"""By launcher: every layer that must be in force before an owner's key goes in, and what it means."""

SECCOMP_PROFILES: Final = frozenset({"sha256:59598441a94fb96017911ef88d494de9e209e8cc5c556aa9adc4201ec4226553"})
"""SHA-256 of each profile, byte for byte as the engine was given it; another one does not count as the layer."""


def missing(launcher: Launcher, in_force: Iterable[str]) -> tuple[str, ...]:
    """Names of required layers that are not among those in force, sorted."""
    return tuple(sorted(set(REQUIRED[launcher]) - set(in_force)))
