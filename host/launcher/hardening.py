"""How a container must be closed off, as asked of the engine and as the engine must confirm it.

Runs in: host.   Believes: nothing; the processor inspects the container once more on its own.   Spec: §11.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sealroom.host.launcher import seccomp
from sealroom.host.launcher.base import LaunchError
from sealroom.protocol import wire

GUEST = 65532
WORKING_DIR = "/run/sealroom"
_TMPFS = {"/tmp": "rw,nosuid,nodev,noexec,size=16m,mode=1777"}  # noqa: S108 (inside the container)
_SHM = 1 << 20
_FILES = 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one container may use of the machine: bytes, processes and threads, processors."""

    memory: int
    processes: int
    processors: float

    @property
    def nano_cpus(self) -> int:
        """Processors in the engine's unit."""
        return int(self.processors * 1e9)


def mounts(run_dir: Path) -> dict[str, str]:
    """Target -> source of everything of the host that the container sees."""
    return {
        f"{WORKING_DIR}/{wire.HOST_SOCKET}": str(run_dir / wire.HOST_SOCKET),
        f"{WORKING_DIR}/tsm": str(run_dir / "tsm"),
    }


def requested(run_dir: Path, share: Share) -> dict[str, Any]:
    """The container's host configuration in the engine's own (HTTP) terms."""
    return {
        "NetworkMode": "none", "ReadonlyRootfs": True, "Privileged": False, "IpcMode": "private", "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp.profile()}"],
        "PidsLimit": share.processes, "NanoCpus": share.nano_cpus,
        "Memory": share.memory, "MemorySwap": share.memory,
        "Tmpfs": _TMPFS, "ShmSize": _SHM, "LogConfig": {"Type": "none", "Config": {}},
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": _FILES, "Hard": _FILES},
        ],
        "Mounts": [
            {"Type": "bind", "Source": source, "Target": target, "ReadOnly": False}
            for target, source in mounts(run_dir).items()
        ],
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": False,
    }  # fmt: skip


def confirm(found: Mapping[str, Any], *, image: str, run_dir: Path, share: Share) -> None:
    """Compare what the engine made with what was asked; one difference is enough to refuse.

    Raises:
        LaunchError: the message names the settings that are not confirmed.
    """
    host, config = found.get("HostConfig") or {}, found.get("Config") or {}
    asked = requested(run_dir, share)
    missed = [name for name in asked if name not in ("Mounts", "Ulimits") and host.get(name) != asked[name]]
    missed += [name for name, empty in _MUST_BE_EMPTY.items() if (host.get(name) or empty) != empty]
    missed += [name for name in ("MaskedPaths", "ReadonlyPaths") if not host.get(name)]
    if _by_name(host.get("Ulimits")) != _by_name(asked["Ulimits"]):
        missed.append("Ulimits")
    if {m.get("Destination"): m.get("Source") for m in found.get("Mounts") or []} != mounts(run_dir):
        missed.append("Mounts")
    wanted = {"User": f"{GUEST}:{GUEST}", "WorkingDir": WORKING_DIR, "Image": image, "NetworkDisabled": True}
    missed += [name for name, value in wanted.items() if config.get(name) != value]
    if found.get("Image") != image:
        missed.append("image id")
    if missed:
        raise LaunchError(f"the engine does not confirm: {', '.join(sorted(set(missed)))}", why="not-confirmed")


def engine_can(info: Mapping[str, Any]) -> None:
    """Refuse an engine that cannot apply what is asked, before anything is made.

    Raises:
        LaunchError: the message names what it lacks.
    """
    flags = ("MemoryLimit", "SwapLimit", "PidsLimit", "CpuCfsQuota")
    lacks = [flag for flag in flags if not info.get(flag)]
    if not any(str(option).startswith("name=seccomp") for option in info.get("SecurityOptions") or []):
        lacks.append("seccomp")
    if lacks:
        raise LaunchError(f"the engine cannot limit a container: {', '.join(lacks)}", why="engine-cannot-limit")


_MUST_BE_EMPTY: dict[str, Any] = {
    "Binds": [], "CapAdd": [], "Devices": [], "DeviceRequests": [], "DeviceCgroupRules": [], "GroupAdd": [],
    "Links": [], "VolumesFrom": [], "PortBindings": {}, "PublishAllPorts": False, "PidMode": "", "UTSMode": "",
    "UsernsMode": "", "Sysctls": {}, "ExtraHosts": [], "OomKillDisable": False, "CgroupParent": "",
}  # fmt: skip


def _by_name(limits: Any) -> dict[str, tuple[int, int]]:
    return {item["Name"]: (item["Soft"], item["Hard"]) for item in limits or []}
