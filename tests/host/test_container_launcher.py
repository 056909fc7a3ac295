"""The container launcher: what is asked of an engine, what it must confirm, and what a real container can do."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sealroom.host import frames
from sealroom.host.launcher import hardening, seccomp
from sealroom.host.launcher.base import LaunchError
from sealroom.host.launcher.docker import DockerHandle, DockerLauncher
from sealroom.host.launcher.hardening import Share
from sealroom.host.processor import Processor

SHARE = Share(memory=256 << 20, processes=64, processors=1.0)
IMAGE = "sha256:" + "0" * 64
RUN = Path("/somewhere/run")


def confirmed() -> dict[str, Any]:
    """What an engine says of a container that is as it was asked for."""
    host = copy.deepcopy(hardening.requested(RUN, SHARE))
    mounts = [{"Source": m["Source"], "Destination": m["Target"]} for m in host.pop("Mounts")]
    host |= {"CapAdd": None, "Devices": [], "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/sys"]}
    config = {"User": "65532:65532", "WorkingDir": "/run/sealroom", "Image": IMAGE, "NetworkDisabled": True}
    return {"Image": IMAGE, "HostConfig": host, "Config": config, "Mounts": mounts}


def check(found: dict[str, Any]) -> None:
    hardening.confirm(found, image=IMAGE, run_dir=RUN, share=SHARE)


def test_what_is_asked_is_what_must_be_confirmed() -> None:
    check(confirmed())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("HostConfig.NetworkMode", "bridge"), ("HostConfig.ReadonlyRootfs", False), ("HostConfig.Privileged", True),
        ("HostConfig.CapDrop", None), ("HostConfig.CapAdd", ["SYS_ADMIN"]),
        ("HostConfig.SecurityOpt", ["no-new-privileges:true"]), ("HostConfig.SecurityOpt", None),
        ("HostConfig.PidsLimit", None), ("HostConfig.PidsLimit", -1), ("HostConfig.Memory", 0),
        ("HostConfig.MemorySwap", -1), ("HostConfig.NanoCpus", 0), ("HostConfig.Tmpfs", {"/tmp": "rw"}),
        ("HostConfig.LogConfig", {"Type": "json-file", "Config": {}}), ("HostConfig.Ulimits", None),
        ("HostConfig.Ulimits", [{"Name": "core", "Soft": 0, "Hard": -1}]), ("HostConfig.IpcMode", "host"),
        ("HostConfig.PidMode", "host"), ("HostConfig.UTSMode", "host"), ("HostConfig.UsernsMode", "host"),
        ("HostConfig.Devices", [{"PathOnHost": "/dev/mem"}]), ("HostConfig.Binds", ["/:/host"]),
        ("HostConfig.VolumesFrom", ["other"]), ("HostConfig.ShmSize", 1 << 30), ("HostConfig.MaskedPaths", []),
        ("HostConfig.ReadonlyPaths", None), ("HostConfig.OomKillDisable", True), ("HostConfig.GroupAdd", ["0"]),
        ("HostConfig.RestartPolicy", {"Name": "always", "MaximumRetryCount": 0}), ("HostConfig.CgroupParent", "/"),
        ("HostConfig.PortBindings", {"1/tcp": []}), ("HostConfig.Sysctls", {"a": "b"}),
        ("HostConfig.AutoRemove", True), ("Config.User", "0"), ("Config.User", ""), ("Config.Image", "python:3"),
        ("Config.WorkingDir", "/"), ("Config.NetworkDisabled", False), ("Image", "sha256:" + "1" * 64),
        ("Mounts", []), ("HostConfig", None), ("Config", None),
        ("Mounts", [{"Source": "/", "Destination": "/run/sealroom/tsm"}]),
    ],
)  # fmt: skip
def test_a_setting_that_is_not_confirmed_refuses(place: str, value: object) -> None:
    found = confirmed()
    *path, last = place.split(".")
    inside = found[path[0]] if path else found
    inside[last] = value
    with pytest.raises(LaunchError, match="does not confirm") as refused:
        check(found)
    assert value is None or last.lower()[:5] in str(refused.value).lower()


def test_an_engine_that_cannot_limit_is_refused() -> None:
    able = dict.fromkeys(("MemoryLimit", "SwapLimit", "PidsLimit", "CpuCfsQuota"), True) | {
        "SecurityOptions": ["name=seccomp,profile=default"]
    }
    hardening.engine_can(able)
    for name in able:
        with pytest.raises(LaunchError, match="cannot limit"):
            hardening.engine_can(able | {name: None})


def test_the_system_calls_are_an_allow_list_without_the_dangerous_ones() -> None:
    profile = json.loads(seccomp.profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["architectures"] == ["SCMP_ARCH_X86_64"]
    allowed = set(seccomp.allowed())
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in allowed)
    refused = {
        "io_uring_setup", "io_uring_enter", "bpf", "perf_event_open", "userfaultfd", "ptrace", "process_vm_readv",
        "mount", "unshare", "setns", "keyctl", "add_key", "bind", "listen", "accept4", "socket", "socketpair",
        "clone", "clone3", "shmget", "mq_open", "splice", "vmsplice", "pidfd_getfd", "init_module", "kexec_load",
        "open_by_handle_at", "chroot", "mknod", "execveat", "personality", "setuid", "chown",
    }  # fmt: skip
    assert not allowed & refused
    assert allowed >= {
        "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp", "prctl", "memfd_create",
        "fork", "pidfd_open", "pidfd_send_signal", "sendmsg", "recvmsg", "execve",
    }  # fmt: skip


def test_without_an_engine_nothing_is_launched_and_nothing_breaks(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o700)
    (run_dir / "host.sock").touch()
    launcher = DockerLauncher(
        engine=f"unix://{tmp_path}/none.sock",
        image=IMAGE,
        share=SHARE,
        processor=Processor(tmp_path / "p"),
        home=tmp_path,
    )
    with pytest.raises(LaunchError, match="does not answer"):
        launcher.launch(run_dir, {})
    with pytest.raises(LaunchError, match="configuration"):
        launcher.launch(run_dir, {"launcher": "process"})
    launcher.clear(run_dir, json.dumps({"container": "x"}))
    launcher.clear_all()


@pytest.fixture(scope="module")
def engine() -> str:
    """The address of a container engine that answers."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://") or not Path(address.removeprefix("unix://")).exists():
        pytest.skip("no Docker engine: set DOCKER_HOST, or start one at /var/run/docker.sock")
    import docker  # noqa: PLC0415

    try:
        client = docker.DockerClient(base_url=address, timeout=10)
        client.ping()
        client.close()
    except Exception as error:  # noqa: BLE001
        pytest.skip(f"no Docker engine answers at DOCKER_HOST: {type(error).__name__}")
    return address


@pytest.fixture(scope="module")
def image(engine: str) -> Iterator[str]:
    """An image of this very interpreter with `probe.py`; its id."""
    import docker  # noqa: PLC0415

    client = docker.DockerClient(base_url=engine, timeout=120)
    changes = ['ENTRYPOINT ["/usr/local/bin/python3", "-I", "-S", "-B", "/probe.py"]', "WORKDIR /run/sealroom"]
    answer = client.api.import_image_from_data(base_image(), changes=changes)
    found = str(json.loads(answer.strip().splitlines()[-1])["status"])
    yield found
    client.images.remove(found, force=True)
    client.close()


def base_image() -> bytes:
    """A tar with the running interpreter, its standard library and what these link to."""
    archive, library = io.BytesIO(), Path(sysconfig.get_path("stdlib"))
    binary = Path(sys.executable).resolve()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    modules = sorted((library / "lib-dynload").glob("*.so"))
    skipped = {"test", "site-packages", "idlelib", "ensurepip", "tkinter", "lib2to3", "turtledemo", "__pycache__"}

    def wanted(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = set(Path(info.name).parts)
        return None if parts & skipped or any(p.startswith("config-") for p in parts) else info

    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(binary, "usr/local/bin/python3")
        tar.add(library, f"usr/local/lib/{version}", filter=wanted)
        tar.add(Path(__file__).with_name("probe.py"), "probe.py")
        for linked in libraries([binary, *modules]):
            tar.add(linked.resolve(), str(linked).lstrip("/"))
    return archive.getvalue()


def libraries(files: list[Path]) -> set[Path]:
    if shutil.which("ldd") is None:
        pytest.skip("ldd is needed to make an image of this interpreter")
    found: set[Path] = set()
    for file in files:
        output = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
        found |= {Path(path) for path in re.findall(r"(/\S+) \(0x", output)}
    return found


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def launcher(engine: str, image: str, processor: Any, tmp_path: Path) -> Iterator[DockerLauncher]:
    made = DockerLauncher(engine=engine, image=image, share=SHARE, processor=Processor(processor.path), home=tmp_path)
    yield made
    made.clear_all()


@pytest.fixture
def launched(launcher: DockerLauncher, run_dir: Path) -> Iterator[tuple[DockerHandle, dict[str, Any], str]]:
    """A started container, what it found possible inside, and its id."""
    owner = launcher.guest if os.geteuid() == 0 else None
    with frames.listen(run_dir / "host.sock", owner=owner) as listener:
        reports = run_dir / "tsm" / "report"
        reports.mkdir(parents=True)
        reports.parent.chmod(0o755)
        reports.chmod(0o777)  # as the processor does it
        handle = launcher.launch(run_dir, {})
        listener.settimeout(60)
        sock, _ = listener.accept()
        with sock:
            found, _ = frames.Channel(sock).receive(seconds=60)
            yield handle, found, json.loads(handle.note)["container"]
    handle.kill()


@pytest.mark.docker
def test_a_container_can_do_what_the_enclave_needs_and_nothing_else(launched: Any, processor: Any) -> None:
    handle, found, container = launched
    needed = ("fork", "thread", "memfd", "socketpair", "own seccomp", "landlock", "write tmp", "tsm")
    assert {name: found[name] for name in needed} == dict.fromkeys(needed, "ok")
    assert found["clone3"] == "ENOSYS"
    refused = (
        "io_uring_setup", "bpf", "userfaultfd", "keyctl", "ptrace", "unshare", "mount", "perf_event_open", "shmget",
        "mq_open", "process_vm_readv", "pidfd_getfd", "setns", "clone_newuser", "add_key", "listen", "splice",
        "open_by_handle_at", "init_module", "inet", "netlink", "vsock", "packet",
    )  # fmt: skip
    assert {name: found[name] for name in refused} == dict.fromkeys(refused, "EPERM")
    assert found["write root"] == "EROFS"
    assert found["write run"] in ("EROFS", "EACCES")
    assert found["core"] == [0, 0]
    assert set(found["interfaces"]) <= {"lo"}
    assert (found["hostname"], found["cwd"]) == ("sealed", "/run/sealroom")
    status = found["status"]
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {int(status["CapEff"], 16), int(status["CapBnd"], 16)} == {0}
    assert {*status["Uid"].split(), *status["Gid"].split()} == {"65532"}
    asked = next(m for m in processor.messages if m["op"] == "attach-container")
    assert (asked["container"], asked["engine"].startswith("unix://")) == (container, True)
    assert handle.measurement == "ab" * 48


@pytest.mark.docker
def test_a_container_is_ended_and_leaves_nothing(launched: Any, launcher: DockerLauncher, processor: Any) -> None:
    handle, _, _ = launched
    assert handle.alive()
    assert not handle.wait(0.2)
    handle.kill()
    assert handle.wait(5)
    assert leftovers(launcher) == []
    assert processor.messages[-1]["op"] == "end"


@pytest.mark.docker
def test_leftover_containers_of_a_gateway_that_died_are_removed(launched: Any, launcher: DockerLauncher) -> None:
    assert len(leftovers(launcher)) == 1
    other = DockerLauncher(
        engine=launcher.engine, image=launcher.image, share=SHARE, processor=launcher.processor, home=Path("/elsewhere")
    )
    other.clear_all()
    assert len(leftovers(launcher)) == 1, "another gateway's containers stay"
    launcher.clear_all()
    assert leftovers(launcher) == []


@pytest.mark.docker
@pytest.mark.parametrize("how", ["processor", "image", "confirm", "limits"])
def test_a_launch_that_fails_leaves_no_container(
    launcher: DockerLauncher, run_dir: Path, processor: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    import dataclasses  # noqa: PLC0415

    if how == "processor":
        processor.reply = {"error": {"code": "E3.x", "message": "the container is open\n", "hint": ""}}
    elif how == "image":
        launcher = dataclasses.replace(launcher, image=IMAGE)
    elif how == "confirm":
        monkeypatch.setattr(hardening, "confirm", lambda *_, **__: (_ for _ in ()).throw(LaunchError("not confirmed")))
    else:
        launcher = dataclasses.replace(launcher, share=Share(memory=1, processes=1, processors=1))
    with frames.listen(run_dir / "host.sock"), pytest.raises(LaunchError):
        launcher.launch(run_dir, {})
    assert leftovers(launcher) == []


def leftovers(launcher: DockerLauncher) -> list[str]:
    import docker  # noqa: PLC0415

    client = docker.DockerClient(base_url=launcher.engine)
    try:
        found = client.api.containers(all=True, filters={"label": f"sealroom.home={launcher._label}"})
    finally:
        client.close()
    return [item["Id"] for item in found]
