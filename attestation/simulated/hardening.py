"""Whether a container is as sealed as it must be: every setting that could open it, compared with the closed value.

Runs in: the operator's machine, outside the enclave.   Believes: the engine.   Spec: §6.6 (Docker Engine API).

A layer is named in the launch configuration only if its settings were seen here; `protocol.confinement` lists those
that an owner requires.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from sealroom.attestation.measurement.launch import LaunchSpec
from sealroom.attestation.measurement.measure import check_settings
from sealroom.protocol import confinement, wire
from sealroom.protocol.errors import NotAcceptable

# Host setting -> the values that keep the container closed, and the layer that this amounts to.
_CLOSED: Mapping[str, tuple[tuple[object, ...], str]] = {
    "NetworkMode": (("none",), "no-network"),
    "ReadonlyRootfs": ((True,), "read-only-root"),
    "Privileged": ((False,), "unprivileged"),
    "CapAdd": ((None, []), "no-capabilities"),
    "CapDrop": ((["ALL"],), "no-capabilities"),
    "PidMode": (("",), "no-host-namespaces"),
    "IpcMode": (("private", "none"), "no-host-namespaces"),
    "UTSMode": (("",), "no-host-namespaces"),
    "UsernsMode": (("",), "no-host-namespaces"),
    "Devices": ((None, []), "no-devices"),
    "DeviceRequests": ((None, []), "no-devices"),
    "DeviceCgroupRules": ((None, []), "no-devices"),
    "VolumesFrom": ((None, []), "no-foreign-files"),
    "GroupAdd": ((None, []), "no-foreign-files"),
    "Sysctls": ((None, {}), "no-foreign-settings"),
    "ExtraHosts": ((None, []), "no-foreign-settings"),
    "Links": ((None, []), "no-foreign-settings"),
    "PublishAllPorts": ((False,), "no-network"),
    "PortBindings": ((None, {}), "no-network"),
    "OomKillDisable": ((None, False), "memory-limit"),
}
_SETTINGS_OF_THE_ENGINE = frozenset(
    {"Labels", "Image", "Hostname", "AttachStdout", "AttachStderr", "NetworkDisabled", "StopSignal", "StopTimeout"}
)
_TMPFS = frozenset({"noexec", "nosuid", "nodev"})
_RESTART = ("", "no")
_OTHERWISE_REFUSED = frozenset({
    "no-new-privileges", "no-log", "no-restart", "own-files-only", "hidden-kernel-files", "process-limit",
    "no-core-dumps",
})  # fmt: skip
"""Layers whose settings are looked at one by one below; without one of them nothing is said about the container."""


def check(found: Mapping[str, Any], spec: LaunchSpec, run: Path) -> dict[str, Any]:
    """What the engine is about to start for `run`, as layers and limits, from the engine's own words on the container.

    Raises:
        NotAcceptable: a setting leaves the container open, or is not what its launch specification says.
    """
    host = _mapping(found, "HostConfig")
    if _mapping(found, "State").get("Status") != "created":
        _refuse("the container was started before it was measured")
    check_settings(found.get("Config"), spec, what="container", harmless=_SETTINGS_OF_THE_ENGINE)
    layers = {layer for name, (closed, layer) in _CLOSED.items() if _is_closed(name, host.get(name), closed)}
    profile = _security_options(host.get("SecurityOpt"))
    if profile in confinement.SECCOMP_PROFILES:  # a profile that nobody knows may allow anything
        layers.add("seccomp")
    if spec.user is not None and spec.user.partition(":")[0] not in ("", "0", "root"):
        layers.add("ordinary-user")
    _check_files(found, host, run)
    if _mapping(host, "LogConfig").get("Type") != "none" or _mapping(host, "RestartPolicy").get("Name") not in _RESTART:
        _refuse("the container's output must go nowhere, and it must not be restarted")
    return {
        "layers": sorted(layers | _OTHERWISE_REFUSED),
        "limits": _limits(host),
        "runtime": str(host.get("Runtime")),
        "seccomp": profile,
    }


def _is_closed(name: str, value: object, closed: tuple[object, ...]) -> bool:
    if not any(value == option and type(value) is type(option) for option in closed):
        _refuse(f"the container's {name} is {value!r}, and must be {closed[0]!r}")
    return True


def _security_options(options: object) -> str:
    """The digest of the seccomp profile; nothing may be unconfined, or left to what an engine does by default."""
    found = [str(option) for option in options] if isinstance(options, list) else []
    if not {"no-new-privileges", "no-new-privileges:true"} & set(found):
        _refuse("the container lacks no-new-privileges")
    profiles = [option.removeprefix("seccomp=") for option in found if option.startswith("seccomp=")]
    rest = [option for option in found if not option.startswith(("seccomp={", "no-new-privileges"))]
    if rest or "no-new-privileges:false" in found or len(profiles) > 1:
        _refuse(f"the container has a security option that is not known to keep it closed: {rest or found}")
    if not profiles:
        _refuse("the container has no seccomp profile of its own")
    return f"sha256:{hashlib.sha256(profiles[0].encode()).hexdigest()}"


def _check_files(found: Mapping[str, Any], host: Mapping[str, Any], run: Path) -> None:
    """Nothing of the machine is visible inside but the run's socket and its folder of reports."""
    top = os.path.dirname(wire.TSM_REPORTS)
    allowed = {(f"{run}/{name}", f"/run/sealroom/{name}") for name in (wire.HOST_SOCKET, top)}
    mounts = found.get("Mounts")
    for mount in mounts if isinstance(mounts, list) else []:
        if mount.get("Type") == "tmpfs":
            continue
        if mount.get("Type") != "bind" or (mount.get("Source"), mount.get("Destination")) not in allowed:
            _refuse(f"the container sees a file of the machine: {mount.get('Source')}")
    for place, options in (host.get("Tmpfs") or {}).items():
        if not set(str(options).split(",")) >= _TMPFS:
            _refuse(f"the container's {place} must be noexec, nosuid and nodev")
    # The engine's default hides these; an empty list would show them.
    for name in ("MaskedPaths", "ReadonlyPaths"):
        if not host.get(name):
            _refuse(f"the container's {name} are empty")


def _limits(host: Mapping[str, Any]) -> dict[str, int]:
    memory, swap, pids = (host.get(name) for name in ("Memory", "MemorySwap", "PidsLimit"))
    if not isinstance(memory, int) or not isinstance(pids, int) or memory <= 0 or pids <= 0 or swap != memory:
        _refuse("the container needs a limit on memory, the same with swap, and one on processes")
    cores = [one for one in host.get("Ulimits") or [] if one.get("Name") == "core"]
    if not cores or cores[0].get("Hard") != 0:
        _refuse("the container must not be able to write core dumps")
    return {"memory_bytes": memory, "pids": pids, "nano_cpus": int(host.get("NanoCpus") or 0)}


def _mapping(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    if not isinstance(value, dict):
        _refuse(f"the engine says nothing about the container's {name}")
    return value


def _refuse(message: str) -> NoReturn:
    raise NotAcceptable("container-open", message)
