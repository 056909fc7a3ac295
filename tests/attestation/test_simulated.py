"""The simulated platform: its evidence passes the production verifier under its own root, and under no other."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sealroom.attestation import appraisal, evidence
from sealroom.attestation.measurement.measure import measure
from sealroom.attestation.simulated import __main__ as command
from sealroom.attestation.simulated import channel, guests, processor, serve, tsm
from sealroom.attestation.simulated.words import CHIP_PREFIX, WARNING
from sealroom.attestation.snp import abi, cert_table
from sealroom.attestation.snp.roots import VENDOR_ROOTS
from sealroom.attestation.verdict import EvidenceNotAcceptable, EvidenceNotGenuine
from sealroom.enclave import quoter
from sealroom.host.image.build import Recipe, build
from sealroom.protocol import canonical, confinement, digest, schema
from sealroom.protocol.errors import Malformed, NotAcceptable, UsageError
from sealroom.protocol.platform import simulated_policy
from tests.attestation import images, simulation

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the simulated platform needs Linux")
NOW = int(time.time())
ASKED = bytes(range(64))
MEASURED, HOST_DATA = "ab" * 48, "cd" * 32


@pytest.fixture(scope="module")
def chip(tmp_path_factory) -> processor.Processor:
    return simulation.processor(tmp_path_factory.mktemp("processor") / "home")


def evidence_of(chip: processor.Processor, now: int = NOW, **changes) -> evidence.SnpEvidence:
    fields = {"report_data": ASKED, "measurement": MEASURED, "host_data": HOST_DATA, "report_id": bytes(32)} | changes
    table = cert_table.parse(chip.certificate_table(now))
    return evidence.snp_evidence(
        report=chip.report(**fields),
        vek=table[cert_table.VCEK],
        intermediate=table[cert_table.ASK],
        root=table[cert_table.ARK],
        crl=table[cert_table.CRL],
        host_data_preimage=None,
    )


def appraise(found: evidence.SnpEvidence, policy, *, now: int = NOW, measurement: str = MEASURED):
    return appraisal.appraise(
        found,
        policy=policy,
        measurements=frozenset({measurement}),
        host_data="any",
        report_data=ASKED,
        now=now,
        seen=(),
    )


def own_policy(chip: processor.Processor, **changes):
    return dataclasses.replace(simulated_policy(chip.root), launch_configuration="any", **changes)


# Reports and certificates.


def test_the_production_verifier_accepts_a_report_under_the_root_that_was_named(chip):
    verdict = appraise(evidence_of(chip), own_policy(chip))
    assert verdict.platform_class == "simulated"
    assert verdict.measurement == MEASURED
    assert verdict.host_data == HOST_DATA
    assert bytes.fromhex(verdict.chip_id).startswith(CHIP_PREFIX)


def test_the_vendors_roots_vouch_for_no_simulated_report(chip):
    policy = own_policy(chip, roots=tuple(VENDOR_ROOTS))
    with pytest.raises(EvidenceNotGenuine) as caught:
        appraise(evidence_of(chip), policy)
    assert caught.value.code == "E2.root"


def test_a_policy_for_hardware_that_names_a_simulated_root_still_refuses_it(chip):
    policy = own_policy(chip, platform_class="confidential-hardware")
    with pytest.raises(EvidenceNotAcceptable) as caught:
        appraise(evidence_of(chip), policy)
    assert caught.value.code == "E3.platform-class"


def test_another_installation_with_the_same_keys_has_another_root_and_chip(chip, tmp_path):
    other = simulation.processor(tmp_path / "home")
    assert (other.root, other.chip_id) != (chip.root, chip.chip_id)
    with pytest.raises(EvidenceNotGenuine) as caught:
        appraise(evidence_of(other), own_policy(chip))
    assert caught.value.code == "E2.root"


def test_every_artefact_says_that_it_is_simulated(chip):
    report = abi.parse(evidence.unverified_bytes(evidence_of(chip).report))
    assert report.family_id.startswith(b"SIMULATED")
    assert report.chip_id.startswith(b"SIMULATED")
    for certificate in cert_table.parse(chip.certificate_table(NOW)).values():
        assert b"SIMULATED - protects nobody from the operator" in certificate
        assert b"Advanced Micro Devices" not in certificate


def test_the_report_has_the_fields_that_were_asked_for(chip):
    report = abi.parse(evidence.unverified_bytes(evidence_of(chip).report))
    assert (report.version, report.policy, report.platform_info) == (5, 0x30000, 0x25)
    assert report.current_tcb == report.reported_tcb == report.committed_tcb == report.launch_tcb


def test_the_revocation_list_is_made_anew_before_it_is_a_day_old(chip):
    first = cert_table.parse(chip.certificate_table(NOW))[cert_table.CRL]
    assert cert_table.parse(chip.certificate_table(NOW + 86399))[cert_table.CRL] == first
    assert cert_table.parse(chip.certificate_table(NOW + 86400))[cert_table.CRL] != first
    later = NOW + 365 * 86400
    appraise(evidence_of(chip, later), own_policy(chip), now=later)


def test_a_processor_is_kept_and_opened_again(tmp_path):
    made = simulation.processor(tmp_path / "home")
    found = processor.load(tmp_path / "home")
    assert (found.root, found.chip_id) == (made.root, made.chip_id)
    appraise(evidence_of(found), own_policy(made))
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "home").iterdir())


def test_a_processor_is_never_overwritten_nor_opened_where_others_can_enter(tmp_path):
    simulation.processor(tmp_path / "home")
    with pytest.raises(UsageError, match="holds a simulated processor already"):
        simulation.processor(tmp_path / "home")
    (tmp_path / "home").chmod(0o750)
    with pytest.raises(NotAcceptable) as caught:
        processor.load(tmp_path / "home")
    assert caught.value.code == "E3.processor-folder"
    with pytest.raises(UsageError, match="holds no simulated processor"):
        processor.load(tmp_path / "nothing")


# The folder of reports, against a guest that does not behave.


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "report").mkdir()
    return tmp_path / "report"


def reports(folder: Path) -> tsm.ReportFolder:
    return tsm.ReportFolder(folder, lambda asked: (b"report over " + asked, b"table"))


def test_a_request_is_answered_once_and_again_when_it_is_written_again(folder):
    served = reports(folder)
    (folder / "one").mkdir()
    served.tick()
    assert (folder / "one" / "generation").read_bytes() == b"0\n"
    (folder / "one" / "inblob").write_bytes(ASKED)
    for _ in range(3):
        served.tick()
    assert (folder / "one" / "generation").read_bytes() == b"1\n"
    assert (folder / "one" / "outblob").read_bytes() == b"report over " + ASKED
    os.utime(folder / "one" / "inblob", (1, 1))
    served.tick()
    assert (folder / "one" / "generation").read_bytes() == b"2\n"


@pytest.mark.parametrize("data", [b"", ASKED[:63], ASKED + b"x"])
def test_only_64_bytes_are_a_request(folder, data):
    served = reports(folder)
    (folder / "one").mkdir()
    served.tick()
    (folder / "one" / "inblob").write_bytes(data)
    served.tick()
    assert not (folder / "one" / "outblob").exists()


def test_a_link_that_the_guest_leaves_is_never_followed(folder, tmp_path):
    (tmp_path / "victim").write_bytes(b"untouched")
    (tmp_path / "secret").write_bytes(ASKED)
    served = reports(folder)
    (folder / "linked").symlink_to(tmp_path)
    (folder / "one").mkdir()
    for name in ("outblob", "auxblob", ".outblob.new"):
        (folder / "one" / name).symlink_to(tmp_path / "victim")
    served.tick()
    (folder / "one" / "inblob").write_bytes(ASKED)
    served.tick()
    assert (folder / "one" / "outblob").read_bytes() == b"report over " + ASKED
    (folder / "two").mkdir()
    served.tick()
    (folder / "two" / "inblob").unlink()
    (folder / "two" / "inblob").symlink_to(tmp_path / "secret")
    served.tick()
    assert not (folder / "two" / "outblob").exists()
    assert (tmp_path / "victim").read_bytes() == b"untouched"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "secret", "victim"]


def test_a_spoilt_request_hurts_no_other(folder):
    served = reports(folder)
    (folder / "bad").mkdir()
    (folder / "bad" / "outblob").mkdir()
    (folder / "good").mkdir()
    served.tick()
    for name in ("bad", "good"):
        (folder / name / "inblob").write_bytes(ASKED)
    served.tick()
    assert (folder / "good" / "generation").read_bytes() == b"1\n"
    os.mkfifo(folder / "fifo")
    shutil.rmtree(folder / "bad")
    served.tick()


def test_too_many_requests_are_passed_over(folder):
    served = reports(folder)
    for number in range(tsm.MOST_REQUESTS + 5):
        (folder / str(number)).mkdir()
    served.tick()
    assert len(list(folder.glob("*/generation"))) == tsm.MOST_REQUESTS


# The service and its guests.

GUEST = """
import json, os, sys
open("seen.new", "w").write(json.dumps({"argv": sys.argv, "env": dict(os.environ), "cwd": os.getcwd(),
    "streams": [os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, 2)], "fds": len(os.listdir("/proc/self/fd")),
    "session": os.getsid(0) == os.getpid(), "status": open("/proc/self/status").read()}))
os.rename("seen.new", "seen")
import time
time.sleep(60 if sys.argv[1:] == ["stay"] else 0)
sys.exit(7)
"""


@pytest.fixture
def run(tmp_path) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run"


@pytest.fixture
def service(chip):
    made = serve.Service(chip)
    yield made
    made.close()


@pytest.fixture
def image(tmp_path) -> Path:
    """An image whose program is a script for this interpreter: it tells how it was started."""
    where = images.folder(tmp_path / "image", argv=["{image}/python/bin/python3", "-I", "-S", "{image}/app/boot.py"])
    script = f"#!{sys.executable}\n{GUEST}"
    (where / "python" / "bin" / "python3").write_text(script)
    (where / "python" / "bin" / "python3").chmod(0o755)
    return where


def relaunch(image: Path, *words: str, **env: str) -> None:
    program = "{image}/python/bin/python3"
    (image / "launch.json").write_bytes(canonical.encode(images.LAUNCH | {"argv": [program, *words], "env": env}))


def launch(service, image, run, **configuration):
    message = {"op": "launch-process", "image": str(image), "run": str(run), "configuration": configuration}
    return service.handle(message)


def test_a_guest_is_started_exactly_as_its_image_says(service, image, run, monkeypatch):
    monkeypatch.setenv("LEAKED", "from the launcher")
    relaunch(image, "one", "two", LC_ALL="C.UTF-8", HERE="{image}/app")
    answer = launch(service, image, run)
    assert answer["measurement"] == measure(image).value
    seen = json.loads(simulation.wait_for(run / "seen"))
    assert seen["argv"][1:] == ["one", "two"]
    assert seen["env"] == {"LC_ALL": "C.UTF-8", "HERE": f"{image}/app"}
    assert seen["cwd"] == str(run)
    assert seen["streams"] == ["/dev/null"] * 3
    assert seen["fds"] <= 5
    assert seen["session"]
    assert "NoNewPrivs:\t1" in seen["status"]


def test_the_launch_configuration_is_beside_the_reports_and_in_them(service, image, run):
    relaunch(image, "stay")
    launch(service, image, run, launcher="process", wish=3)
    preimage = (run / "tsm" / "launch_configuration").read_bytes()
    document = canonical.decode(preimage, most=1 << 16)
    assert document["platform"] == WARNING
    assert document["requested"] == {"launcher": "process", "wish": 3}
    assert document["image"] == measure(image).root
    assert document["layers"] == sorted(confinement.REQUIRED["process"])
    (run / "tsm" / "report" / "x").mkdir()
    service.tick()
    (run / "tsm" / "report" / "x" / "inblob").write_bytes(ASKED)
    service.tick()
    report = abi.parse((run / "tsm" / "report" / "x" / "outblob").read_bytes())
    assert report.measurement.hex() == measure(image).value
    assert report.host_data.hex() == digest.sha256("launch-configuration/v1", preimage)


def test_one_changed_byte_of_the_image_changes_what_is_reported(service, image, run, tmp_path):
    first = launch(service, image, run)["measurement"]
    (image / "app" / "boot.py").write_text("print('Boot')\n")
    (tmp_path / "second").mkdir(mode=0o700)
    second = launch(service, image, tmp_path / "second")["measurement"]
    assert first != second == measure(image).value


def test_status_and_end_tell_how_a_guest_ended(service, image, run):
    relaunch(image, "leave")
    pid = launch(service, image, run)["pid"]
    simulation.wait_for(run / "seen")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    service.tick()
    status = service.handle({"op": "status", "run": str(run)})
    assert (status["running"], status["exit"]) == (False, 7)
    assert service.handle({"op": "end", "run": str(run)}) == {"exit": 7}
    assert not service.busy
    assert service.handle({"op": "end", "run": str(run)})["error"]["code"] == "usage"


def test_ending_a_guest_that_runs_kills_it(service, image, run):
    relaunch(image, "stay")
    pid = launch(service, image, run)["pid"]
    simulation.wait_for(run / "seen")
    assert service.handle({"op": "status", "run": str(run)})["running"]
    assert service.handle({"op": "end", "run": str(run)}) == {"exit": None}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_run_that_is_gone_is_no_reason_to_stop(service, image, run):
    launch(service, image, run)
    simulation.wait_for(run / "seen")
    shutil.rmtree(run)
    service.tick()


def test_describe_says_what_this_is(service, chip):
    answer = service.handle({"op": "describe"})
    assert answer == {"platform_class": "simulated", "warning": WARNING, "root": chip.root, "chip_id": chip.chip_id}


def broken(case: str, image: Path, run: Path) -> dict[str, object]:
    message: dict[str, object] = {"op": "launch-process", "image": str(image), "run": str(run)}
    if case == "run folder open to others":
        run.chmod(0o755)
    elif case == "run launched before":
        (run / "tsm").mkdir()
        (run / "tsm" / "launch_configuration").touch()
    elif case == "requests before launch":
        (run / "tsm" / "report" / "early").mkdir(parents=True)
    elif case == "run folder missing":
        message["run"] = f"{run}-missing"
    elif case == "run folder relative":
        message["run"] = "run"
    elif case == "no image":
        message["image"] = str(run)
    elif case == "image is gone":
        message["image"] = f"{image}-gone"
    elif case == "program cannot be started":
        (image / "python" / "bin" / "python3").chmod(0o644)
    elif case == "configuration is no object":
        message["configuration"] = [1]
    elif case == "configuration has a float":
        message["configuration"] = {"x": 1.5}
    elif case == "configuration is too long":
        message["configuration"] = {"x": "y" * (1 << 18)}
    else:
        message = {"op": case} if case else {}
    return message


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("run folder open to others", "usage"),
        ("run launched before", "usage"),
        ("requests before launch", "usage"),
        ("run folder missing", "usage"),
        ("run folder relative", "usage"),
        ("no image", "E1.no-launch-spec"),
        ("image is gone", "system"),
        ("program cannot be started", "system"),
        ("configuration is no object", "usage"),
        ("configuration has a float", "E1.float"),
        ("configuration is too long", "usage"),
        ("reboot", "usage"),
        ("", "usage"),
    ],
)
def test_a_launch_that_cannot_be_made_is_refused_and_leaves_no_guest(service, image, run, case, code):
    assert service.handle(broken(case, image, run))["error"]["code"] == code
    assert not service.busy
    assert not (run / "seen").exists()


def test_a_run_has_one_guest(service, image, run):
    relaunch(image, "stay")
    launch(service, image, run)
    assert launch(service, image, run)["error"]["code"] == "usage"


def test_a_process_that_cannot_be_confined_is_not_started(service, image, run, monkeypatch):
    class Broken:
        prctl = staticmethod(lambda *arguments: -1)

    monkeypatch.setattr(guests, "_libc", Broken)
    with pytest.raises(subprocess.SubprocessError):
        launch(service, image, run)
    assert not (run / "seen").exists()


# The socket.


@pytest.fixture
def serving(chip, tmp_path, monkeypatch):
    """A service on a socket, in a thread; signals belong to the main thread, so that here a flag stops it."""
    handlers = {}
    monkeypatch.setattr(signal, "signal", handlers.setdefault)
    path, ready = tmp_path / "s", threading.Event()
    thread = threading.Thread(target=serve.serve, args=(serve.Service(chip), path), kwargs={"ready": ready.set})
    thread.start()
    assert ready.wait(30)
    yield path
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    thread.join()
    assert not path.exists()


def connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(str(path))
    return sock


def test_requests_are_answered_over_a_socket_that_is_ours_alone(serving, chip):
    assert stat.S_IMODE(serving.stat().st_mode) == 0o600
    with connect(serving) as sock:
        for _ in range(2):
            channel.send(sock, {"op": "describe"})
            assert channel.receive(sock)["root"] == chip.root


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\0\0\0\2[]", "E1.not-object"),
        (b"\0\0\0\2{x", "E1.not-json"),
        (b"\xff\xff\xff\xff", "E1.too-large"),
        (b"\0\0\0\x09{}", "E1.cut-short"),
        (b"\0\0", "E1.cut-short"),
    ],
)
def test_a_connection_that_breaks_the_format_is_closed_and_others_go_on(serving, data, code):
    one, other = socket.socketpair()
    with one, other:
        one.sendall(data)
        one.shutdown(socket.SHUT_WR)
        with pytest.raises(Malformed) as caught:
            channel.receive(other)
        assert caught.value.code == code
    with connect(serving) as bad, connect(serving) as good:
        bad.sendall(data)
        bad.shutdown(socket.SHUT_WR)
        assert bad.recv(1) == b""
        channel.send(good, {"op": "describe"})
        assert "root" in channel.receive(good)


def test_too_many_connections_are_closed_at_once(serving, monkeypatch):
    monkeypatch.setattr(serve, "MOST_CONNECTIONS", 2)
    socks = [connect(serving) for _ in range(4)]
    try:
        assert socks[3].recv(1) == b""
        channel.send(socks[0], {"op": "describe"})
        assert "root" in channel.receive(socks[0])
    finally:
        for sock in socks:
            sock.close()


def test_two_services_cannot_share_a_socket_but_one_left_behind_is_taken_over(chip, tmp_path, serving):
    with pytest.raises(UsageError, match="serves on"):
        serve._listen(serving)
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(left))
    serve._listen(left).close()


# The command line, in a process of its own.


def test_the_commands_make_and_serve_a_processor(tmp_path, monkeypatch, capsys, image, run):
    monkeypatch.setattr(processor.Keys, "generate", simulation.keys)
    arguments = ["init", "--home", str(tmp_path / "home")]
    assert command.main(arguments) == 0
    first = capsys.readouterr()
    assert WARNING in first.err
    assert command.main(arguments) == 0
    second = capsys.readouterr()
    assert first.out == second.out == processor.load(tmp_path / "home").root + "\n"
    assert "nothing was changed" in second.err
    words = [sys.executable, "-m", "sealroom.attestation.simulated", "serve"]
    words += ["--home", str(tmp_path / "home"), "--socket", str(tmp_path / "s")]
    words += ["--unsafe-guest-errors", str(tmp_path / "errors")]
    relaunch(image, "stay")
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        lines = [process.stderr.readline() for _ in range(3)]
        assert "operator can read" in lines[1]
        assert "serves on" in lines[2]
        with connect(tmp_path / "s") as sock:
            channel.send(sock, {"op": "launch-process", "image": str(image), "run": str(run)})
            pid = channel.receive(sock)["pid"]
        seen = json.loads(simulation.wait_for(run / "seen"))
        assert seen["streams"][2] == str(tmp_path / "errors")
        stated = canonical.decode((run / "tsm" / "launch_configuration").read_bytes(), most=1 << 16)
        assert confinement.missing("process", stated["layers"]) == ("empty-standard-streams",)
        fd = os.pidfd_open(pid)
        process.kill()
        # A guest must not outlive the processor, however that ends.
        assert select.select([fd], [], [], 30)[0]
        os.close(fd)


def test_the_command_says_why_it_cannot(tmp_path, capsys):
    arguments = ["serve", "--home", str(tmp_path), "--socket", str(tmp_path / "s")]
    assert command.main(arguments) == 1
    err = capsys.readouterr().err
    assert "sealroom: error: " in err
    assert "sealroom: hint: make one with" in err


# All together: a real image, its own interpreter, the gate's packages and the real quoter.

GATE = '''
"""Stands for the gate: asks for a report and leaves the evidence in its run's folder."""
import json, os
from sealroom.enclave.quoter import quote
from sealroom.protocol import schema

def main(image):
    with open("evidence.new", "w") as out:
        out.write(json.dumps(schema.encode(quote(bytes(range(64))))))
    os.rename("evidence.new", "evidence")
    return 3
'''


@pytest.fixture(scope="module")
def built(tmp_path_factory, root) -> Path:
    where = tmp_path_factory.mktemp("built")
    sources = where / "sources"
    for name in ("protocol", "attestation", "enclave"):
        shutil.copytree(root / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    (sources / "enclave" / "gate" / "main.py").write_text(GATE)
    (sources / "sealroom").mkdir()
    (sources / "sealroom" / "__init__.py").write_bytes((root / "sealroom" / "__init__.py").read_bytes())
    (sources / "requirements").mkdir()
    lock = (root / "requirements" / "gate.txt").read_text()
    (sources / "requirements" / "gate.txt").write_text(lock)
    anyascii = [line for line in (root / "requirements" / "job.txt").read_text().splitlines() if "anyascii==" in line]
    (sources / "requirements" / "job.txt").write_text("\n".join(anyascii))
    build(where / "image", Recipe(kind="process", platform="simulated", sources=sources))
    return where / "image"


def test_a_guest_in_a_real_image_gets_evidence_that_verifies(service, chip, built, run):
    answer = launch(service, built, run)
    deadline = time.monotonic() + 60
    while not (run / "evidence").exists() and time.monotonic() < deadline:
        service.tick()
        time.sleep(0.002)
    found = schema.decode(evidence.SnpEvidence, json.loads((run / "evidence").read_text()))
    policy = simulated_policy(chip.root)
    verdict = appraise(found, policy, now=int(time.time()), measurement=measure(built).value)
    assert verdict.measurement == answer["measurement"]
    assert b'"launcher":"process"' in verdict.launch_configuration
    with pytest.raises(EvidenceNotGenuine):
        appraise(found, dataclasses.replace(policy, roots=tuple(VENDOR_ROOTS)))
    os.waitid(os.P_PID, answer["pid"], os.WEXITED | os.WNOWAIT)
    assert service.handle({"op": "end", "run": str(run)}) == {"exit": 3}
    assert measure(built).value == answer["measurement"]


def test_the_quoter_here_and_the_one_in_the_image_are_the_same_file(built, root):
    inside = built / "app" / "sealroom" / "enclave" / "quoter.py"
    assert inside.read_bytes() == (root / "enclave" / "quoter.py").read_bytes() == Path(quoter.__file__).read_bytes()
