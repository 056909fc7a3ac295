"""Attaching to containers: what the engine says is compared, setting by setting, and nothing open is vouched for."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import http.server
import io
import json
import os
import shutil
import socketserver
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from sealroom.attestation.measurement.measure import measure_archive
from sealroom.attestation.simulated import engine, hardening, serve
from sealroom.attestation.simulated.engine import Engine
from sealroom.host.launcher import seccomp as profile
from sealroom.protocol import canonical, confinement
from sealroom.protocol.errors import Malformed, NotAcceptable, UsageError
from tests.attestation import images, simulation

CONTAINER = "c" * 64
ARCHIVE = images.saved(images.base_layer())
MEASURED = measure_archive(io.BytesIO(ARCHIVE))
SPEC = MEASURED.launch


def sealed(run: Path) -> dict[str, object]:
    """What an engine says about a container that is made as it must be."""
    mounts = [
        {"Type": "bind", "Source": f"{run}/{name}", "Destination": f"/run/sealroom/{name}", "RW": True}
        for name in ("host.sock", "tsm")
    ]
    return {
        "Id": CONTAINER,
        "Image": MEASURED.image_id,
        "State": {"Status": "created", "Running": False},
        "Mounts": [*mounts, {"Type": "tmpfs", "Source": "", "Destination": "/dev/shm"}],
        "Config": images.SETTINGS
        | {"AttachStdout": True, "AttachStderr": True, "NetworkDisabled": True, "Image": "sealroom:local"},
        "HostConfig": {
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "Privileged": False,
            "CapAdd": None,
            "CapDrop": ["ALL"],
            "PidMode": "",
            "IpcMode": "private",
            "UTSMode": "",
            "UsernsMode": "",
            "PublishAllPorts": False,
            "PortBindings": {},
            "AutoRemove": False,
            "OomKillDisable": False,
            "SecurityOpt": ["no-new-privileges:true", f"seccomp={profile.profile()}"],
            "PidsLimit": 64,
            "Memory": 1 << 30,
            "MemorySwap": 1 << 30,
            "NanoCpus": 2_000_000_000,
            "Runtime": "runc",
            "Ulimits": [{"Name": "core", "Hard": 0, "Soft": 0}],
            "Tmpfs": {"/tmp": "rw,nosuid,nodev,noexec,size=64m"},
            "LogConfig": {"Type": "none", "Config": {}},
            "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
            "MaskedPaths": ["/proc/kcore"],
            "ReadonlyPaths": ["/proc/sys"],
        },
    }


@pytest.fixture
def run(tmp_path) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run"


def test_a_sealed_container_is_described_by_what_was_seen(run):
    seen = hardening.check(sealed(run), SPEC, run)
    assert seen["layers"] == sorted(confinement.REQUIRED["docker"])
    assert seen["limits"] == {"memory_bytes": 1 << 30, "pids": 64, "nano_cpus": 2_000_000_000}
    assert seen["seccomp"].startswith("sha256:")
    assert seen["runtime"] == "runc"
    canonical.encode(seen)


def test_the_profile_that_the_launcher_asks_for_is_one_that_owners_require():
    given = hashlib.sha256(profile.profile().encode()).hexdigest()
    assert f"sha256:{given}" in confinement.SECCOMP_PROFILES, "list the changed profile, once it was looked at"


@pytest.mark.parametrize("other", ["{}", '{"defaultAction":"SCMP_ACT_ALLOW"}', profile.profile() + " "])
def test_a_profile_that_nobody_knows_does_not_count_as_the_layer(run, other):
    found = sealed(run)
    found["HostConfig"]["SecurityOpt"] = ["no-new-privileges", f"seccomp={other}"]
    seen = hardening.check(found, SPEC, run)
    assert seen["seccomp"] == f"sha256:{hashlib.sha256(other.encode()).hexdigest()}"
    assert confinement.missing("docker", seen["layers"]) == ("seccomp",)


@pytest.mark.parametrize("user", ["0:0", "root", "0", ":0", None])
def test_an_image_that_runs_as_root_has_no_ordinary_user(run, user):
    found, spec = sealed(run), dataclasses.replace(SPEC, user=user)
    found["Config"] = {**found["Config"], "User": user}
    seen = hardening.check(found, spec, run)
    assert confinement.missing("docker", seen["layers"]) == ("ordinary-user",)


OPEN = {
    "NetworkMode": ["host", "bridge", "default", f"container:{CONTAINER}", None],
    "ReadonlyRootfs": [False, None, 1],
    "Privileged": [True],
    "CapAdd": [["SYS_ADMIN"]],
    "CapDrop": [None, [], ["NET_RAW"], ["ALL", "x"]],
    "PidMode": ["host"],
    "IpcMode": ["host", "shareable"],
    "UTSMode": ["host"],
    "UsernsMode": ["host"],
    "Devices": [[{"PathOnHost": "/dev/kvm"}]],
    "DeviceRequests": [[{"Driver": "gpu"}]],
    "DeviceCgroupRules": [["a *:* rwm"]],
    "VolumesFrom": [["other"]],
    "GroupAdd": [["0"]],
    "Sysctls": [{"net.ipv4.ip_forward": "1"}],
    "ExtraHosts": [["a:1.2.3.4"]],
    "Links": [["other"]],
    "PublishAllPorts": [True],
    "PortBindings": [{"80/tcp": [{"HostPort": "80"}]}],
    "OomKillDisable": [True],
    "SecurityOpt": [
        ["no-new-privileges"],
        None,
        [],
        ["no-new-privileges:false"],
        ["no-new-privileges", "seccomp=unconfined"],
        ["no-new-privileges", "apparmor=unconfined"],
        ["no-new-privileges", "systempaths=unconfined"],
        ["no-new-privileges", "label=disable"],
        ["no-new-privileges", "seccomp={}", "seccomp={}"],
        ["no-new-privileges", "no-new-privileges:false"],
    ],
    "PidsLimit": [None, 0, -1],
    "Memory": [0, None],
    "MemorySwap": [-1, 0, 2 << 30],
    "Ulimits": [None, [], [{"Name": "core", "Hard": -1}], [{"Name": "nofile", "Hard": 0}]],
    "Tmpfs": [{"/tmp": "rw,size=64m"}, {"/tmp": "nosuid,nodev"}],
    "LogConfig": [{"Type": "json-file"}, None],
    "RestartPolicy": [{"Name": "always"}, None],
    "MaskedPaths": [[], None],
    "ReadonlyPaths": [[], None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in OPEN for value in OPEN[name]])
def test_every_setting_that_opens_a_container_is_refused(run, name, value):
    found = sealed(run)
    found["HostConfig"][name] = value
    with pytest.raises(NotAcceptable) as caught:
        hardening.check(found, SPEC, run)
    assert caught.value.code == "E3.container-open"


@pytest.mark.parametrize(
    "mount",
    [
        {"Type": "bind", "Source": "/etc", "Destination": "/run/sealroom/tsm"},
        {"Type": "bind", "Source": "/", "Destination": "/host"},
        {"Type": "bind", "Source": "RUN/tsm", "Destination": "/opt/sealroom"},
        {"Type": "volume", "Source": "/var/lib/x", "Destination": "/data"},
        {"Type": "npipe"},
    ],
)
def test_a_file_of_the_machine_in_the_container_is_refused(run, mount):
    found = sealed(run)
    found["Mounts"].append(mount | {"Source": str(mount.get("Source")).replace("RUN", str(run))})
    with pytest.raises(NotAcceptable) as caught:
        hardening.check(found, SPEC, run)
    assert caught.value.code == "E3.container-open"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Env", ["LD_PRELOAD=/evil.so"]),
        ("Entrypoint", ["/bin/sh"]),
        ("Cmd", ["-c", "x"]),
        ("User", "0:0"),
        ("WorkingDir", "/"),
        ("Tty", True),
        ("OpenStdin", True),
        ("Healthcheck", {"Test": ["CMD", "x"]}),
    ],
)
def test_a_container_that_starts_something_else_than_its_image_says_is_refused(run, name, value):
    found = sealed(run)
    found["Config"][name] = value
    with pytest.raises(NotAcceptable) as caught:
        hardening.check(found, SPEC, run)
    assert caught.value.code == "E3.container-settings"


@pytest.mark.parametrize("status", ["running", "exited", "paused", None])
def test_a_container_that_was_started_before_is_refused(run, status):
    found = sealed(run)
    found["State"]["Status"] = status
    with pytest.raises(NotAcceptable) as caught:
        hardening.check(found, SPEC, run)
    assert caught.value.code == "E3.container-open"


@pytest.mark.parametrize("part", ["HostConfig", "State", "Config"])
def test_an_engine_that_says_nothing_is_not_believed(run, part):
    found = sealed(run)
    found[part] = None
    with pytest.raises(NotAcceptable):
        hardening.check(found, SPEC, run)


# An engine in a thread, which answers what the test says.


class FakeEngine(socketserver.ThreadingUnixStreamServer):
    """Answers each path with the bytes in `answers`."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        super().__init__(str(path), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    def address_string(self) -> str:
        return "local"

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        data = self.server.answers.get(self.path)
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")


@pytest.fixture
def fake(tmp_path):
    with FakeEngine(tmp_path / "engine") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def service(tmp_path):
    made = serve.Service(simulation.processor(tmp_path / "processor"))
    yield made
    made.close()


def prepare(fake: FakeEngine, run: Path, **answers: bytes) -> dict[str, object]:
    fake.answers = {
        f"/containers/{CONTAINER}/json": json.dumps(sealed(run)).encode(),
        f"/containers/{CONTAINER}/changes": b"null",
        f"/images/{MEASURED.image_id}/get": ARCHIVE,
    }
    return {
        "op": "attach-container",
        "container": CONTAINER,
        "engine": f"unix://{fake.server_address}",
        "run": str(run),
        "configuration": {"launcher": "docker"},
    }


def test_a_sealed_container_is_measured_and_served(fake, service, run, tmp_path):
    message = prepare(fake, run)
    assert service.handle(message) == {"measurement": MEASURED.value}
    document = json.loads((run / "tsm" / "launch_configuration").read_bytes())
    assert document["image"] == MEASURED.image_id
    assert document["launcher"] == "docker"
    assert document["limits"]["pids"] == 64
    status = service.handle({"op": "status", "run": str(run)})
    assert status == {"measurement": MEASURED.value, "running": False, "exit": None}
    service.tick()
    assert service.handle({"op": "end", "run": str(run)}) == {"exit": None}
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    message = prepare(fake, other) | {"run": str(other)}
    del fake.answers[f"/images/{MEASURED.image_id}/get"]
    assert service.handle(message) == {"measurement": MEASURED.value}


def refusals(run: Path) -> dict[str, tuple[dict[str, bytes | None], str]]:
    inspect, changes = f"/containers/{CONTAINER}/json", f"/containers/{CONTAINER}/changes"
    image = f"/images/{MEASURED.image_id}/get"
    opened = copy.deepcopy(sealed(run))
    opened["HostConfig"]["NetworkMode"] = "host"
    other = images.saved(images.base_layer(mtime=7))
    return {
        "an open container": ({inspect: json.dumps(opened).encode()}, "E3.container-open"),
        "changed files": ({changes: b'[{"Path":"/opt/sealroom/app/boot.py","Kind":0}]'}, "E3.container-changed"),
        "another image": ({image: other}, "E3.container-image"),
        "no image": ({image: None}, "E1.engine"),
        "an image of something else": ({image: b""}, "E1.image-archive"),
        "no container": ({inspect: None}, "E1.engine"),
        "no changes known": ({changes: None}, "E1.engine"),
        "nonsense": ({inspect: b"{"}, "E1.engine"),
        "no object": ({inspect: b"[]"}, "E1.engine"),
        "an image without an id": ({inspect: b'{"Image":"sealroom:latest"}'}, "usage"),
    }


CASES = tuple(refusals(Path("/")))


@pytest.mark.parametrize("case", CASES)
def test_a_container_that_is_not_as_it_must_be_is_not_served(fake, service, run, case):
    message = prepare(fake, run)
    answers, code = refusals(run)[case]
    fake.answers.update({path: data for path, data in answers.items() if data is not None})
    for path in [path for path, data in answers.items() if data is None]:
        del fake.answers[path]
    assert service.handle(message)["error"]["code"] == code
    assert not service.busy
    assert not (run / "tsm").exists()


def test_a_wrong_image_is_not_remembered(fake, service, run):
    message = prepare(fake, run)
    fake.answers[f"/images/{MEASURED.image_id}/get"] = images.saved(images.base_layer(mtime=7))
    assert service.handle(message)["error"]["code"] == "E3.container-image"
    fake.answers[f"/images/{MEASURED.image_id}/get"] = ARCHIVE
    assert service.handle(message) == {"measurement": MEASURED.value}


def test_an_engine_is_reached_over_its_socket_alone_and_by_full_names(tmp_path):
    for address in ("tcp://127.0.0.1:2375", "http://x", "unix://relative"):
        with pytest.raises(UsageError):
            Engine(address)
    local = Engine(f"unix://{tmp_path}/none")
    with pytest.raises(UsageError):
        local.container("short")
    with pytest.raises(UsageError):
        local.changes("../../images/json")
    with pytest.raises(OSError, match="No such file"):
        local.container(CONTAINER)


def test_an_answer_that_is_too_long_is_refused(fake, run, monkeypatch):
    prepare(fake, run)
    monkeypatch.setattr(engine, "MOST_ANSWER", 100)
    with pytest.raises(Malformed) as caught:
        Engine(f"unix://{fake.server_address}").container(CONTAINER)
    assert caught.value.code == "E1.engine"


# A real engine.


def docker(*words: str, data: bytes | None = None) -> str:
    done = subprocess.run(["docker", *words], input=data, capture_output=True, timeout=300, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def real_engine() -> str:
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if shutil.which("docker") is None or not address.startswith("unix:///"):
        pytest.skip("no container engine: needs the docker command and an engine on a Unix socket")
    try:
        docker("version")
    except subprocess.SubprocessError:
        pytest.skip(f"no container engine answers on {address}")
    return address


@pytest.fixture
def real_image(real_engine) -> str:
    """An image of a few files, which cannot run but can be measured."""
    archive = io.BytesIO(ARCHIVE)
    with tarfile.open(fileobj=archive) as found:
        raw = json.loads(found.extractfile("config.json").read())
    data = images.saved(images.base_layer(), settings=raw["config"], architecture="amd64", os="linux")
    docker("load", data=data)
    name = measure_archive(io.BytesIO(data)).image_id
    yield name
    docker("image", "rm", "--force", name)


SEALED = [
    *("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--ipc", "private", "--pids-limit", "64", "--memory", "64m", "--memory-swap", "64m", "--ulimit", "core=0"),
    *("--log-driver", "none", "--tmpfs", "/tmp:rw,nosuid,nodev,noexec,size=1m"),
]


@contextlib.contextmanager
def created(image: str, run: Path, *more: str):
    (run / "tsm" / "report").mkdir(parents=True, exist_ok=True)
    (run / "host.sock").touch()
    mounts = []
    for name in ("host.sock", "tsm"):
        mounts += ["--mount", f"type=bind,source={run}/{name},target=/run/sealroom/{name}"]
    file = run.parent / "profile.json"
    file.write_text(profile.profile())
    container = docker("create", *SEALED, "--security-opt", f"seccomp={file}", *mounts, *more, image)
    try:
        yield container
    finally:
        docker("rm", "--force", container)


def attach(service, container: str, engine_address: str, run: Path):
    return service.handle({"op": "attach-container", "container": container, "engine": engine_address, "run": str(run)})


@pytest.mark.docker
def test_a_real_engine_is_asked_about_a_real_container(service, real_engine, real_image, run):
    with created(real_image, run) as container:
        assert attach(service, container, real_engine, run) == {"measurement": MEASURED.value}
    stated = canonical.decode((run / "tsm" / "launch_configuration").read_bytes(), most=1 << 16)
    assert confinement.missing("docker", stated["layers"]) == ()


@pytest.mark.docker
@pytest.mark.parametrize(
    "more", [["--security-opt", "seccomp=unconfined"], ["--cap-add", "CHOWN"], ["--env", "A=b"], ["--pid", "host"]]
)
def test_a_real_container_that_is_open_is_refused(service, real_engine, real_image, run, more):
    with created(real_image, run, *more) as container:
        assert attach(service, container, real_engine, run)["error"]["code"].startswith("E3.container-")


@pytest.mark.docker
def test_a_file_copied_into_a_real_container_is_noticed(service, real_engine, real_image, run):
    buffer = io.BytesIO(images.layer(images.Member("boot.py", b"print('intruder')\n")))
    with created(real_image, run, "--read-only=false") as container:
        docker("cp", "-", f"{container}:/opt/sealroom/app", data=buffer.getvalue())
        assert attach(service, container, real_engine, run)["error"]["code"].startswith("E3.container-")
