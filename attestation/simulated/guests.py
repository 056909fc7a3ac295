"""Starts or watches over one guest each: measures what really runs, and answers its requests for reports.

Runs in: the operator's machine, outside the enclave.   Believes: the kernel and the container engine.   Spec: §6.6.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import resource
import secrets
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Any

from sealroom.attestation.measurement.measure import Measurement, measure_archive, measure_folder
from sealroom.attestation.measurement.tree import DigestCache
from sealroom.attestation.simulated import hardening
from sealroom.attestation.simulated.engine import Engine
from sealroom.attestation.simulated.processor import Processor
from sealroom.attestation.simulated.tsm import ReportFolder
from sealroom.attestation.simulated.words import WARNING
from sealroom.attestation.snp.appraise import LAUNCH_CONFIGURATION
from sealroom.protocol import canonical, digest, wire
from sealroom.protocol.errors import NotAcceptable, UsageError

CONFIGURATION_FILE = "launch_configuration"
MOST_CONFIGURATION = 1 << 17
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_PROCESS_LAYERS = ("dies-with-processor", "empty-standard-streams", "no-core-dumps", "no-new-privileges", "own-session")
"""What `Guest.start` puts in force; with standard error going to a file there are no empty streams, and no key."""
_libc = ctypes.CDLL(None, use_errno=True)


class Guest:
    """A guest whose reports are answered until it is ended. Nothing is served before it was measured."""

    def __init__(self, processor: Processor, run: Path, measurement: str, configuration: dict[str, Any]) -> None:
        """Open the run's folder of reports; its launch configuration lies beside it, and its digest in every report.

        Raises:
            UsageError: the run was served before.
        """
        document = {
            "format": "sealroom/launch-configuration/v1",
            "platform": WARNING,
            "measurement": measurement,
            **configuration,
        }
        data = canonical.encode(document)
        if len(data) > MOST_CONFIGURATION:
            raise UsageError("the launch configuration is too long")
        self.measurement = measurement
        self._processor, self._report_id = processor, secrets.token_bytes(32)
        self._host_data = digest.sha256(LAUNCH_CONFIGURATION, data)
        self._reports = ReportFolder(_prepare(run, data), self._answer)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str], environment: dict[str, str], run: Path, errors: IO[bytes] | None) -> int:
        """Start exactly this command with exactly this environment, in the run's folder, and return its process id."""
        self.process = subprocess.Popen(
            command,
            executable=command[0],
            env=environment,
            cwd=run,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors or subprocess.DEVNULL,
            start_new_session=True,
            # Safe: the processor has one thread.
            preexec_fn=functools.partial(_before_start, os.getpid()),  # noqa: PLW1509
        )
        return self.process.pid

    def tick(self) -> None:
        """Answer what is due, and take note of the guest's end."""
        if self.process is not None:
            self.process.poll()
        # A folder that is gone belongs to a run that is over.
        with contextlib.suppress(FileNotFoundError):
            self._reports.tick()

    def end(self) -> None:
        """Kill what is left of a guest that was started here."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _answer(self, report_data: bytes) -> tuple[bytes, bytes]:
        report = self._processor.report(
            report_data=report_data,
            measurement=self.measurement,
            host_data=self._host_data,
            report_id=self._report_id,
        )
        return report, self._processor.certificate_table(int(time.time()))


def launch_process(
    processor: Processor,
    *,
    image: Path,
    run: Path,
    requested: dict[str, Any],
    cache: DigestCache,
    errors: IO[bytes] | None = None,
) -> tuple[Guest, int]:
    """Measure an image folder and start exactly what its launch specification says; the guest and its process id.

    Raises:
        Malformed: not a process image.
        UsageError: the run was served before.
        OSError: it cannot be read or started.
    """
    found = measure_folder(image, cache=cache)
    layers = [layer for layer in _PROCESS_LAYERS if errors is None or layer != "empty-standard-streams"]
    observed = {"image": found.root, "launcher": "process", "layers": layers, "limits": {}, "requested": requested}
    guest = Guest(processor, run, found.value, observed)
    top = str(image)
    return guest, guest.start(found.launch.arguments(top), found.launch.environment(top), run, errors)


def attach_container(
    processor: Processor,
    *,
    container: str,
    engine: Engine,
    run: Path,
    requested: dict[str, Any],
    known: dict[str, Measurement],
) -> Guest:
    """Measure a container that was made but not started, image and settings, as the engine itself describes them.

    `known` holds measurements of images by their id, which is the digest of their content.

    Raises:
        Malformed: the image is none of ours, or the engine answers nonsense.
        NotAcceptable: the container is open, or differs from its image.
        UsageError: the run was served before.
        OSError: the engine cannot be reached.
    """
    found = engine.container(container)
    image = str(found.get("Image"))
    if image not in known:
        with engine.saved(image) as stream:
            known[image] = measure_archive(stream)
    measured = known[image]
    if measured.image_id != image:
        del known[image]
        raise NotAcceptable("container-image", "the engine handed out another image than the container's")
    seen = hardening.check(found, measured.launch, run)
    if engine.changes(container):
        raise NotAcceptable("container-changed", "files of the container were changed before its start")
    observed = {"image": image, "launcher": "docker", "requested": requested, **seen}
    return Guest(processor, run, measured.value, observed)


def _prepare(run: Path, configuration: bytes) -> Path:
    """Make the run's folder of reports. The guest may be another user; nobody else can enter the run's folder."""
    if not run.is_absolute() or run.is_symlink() or not run.is_dir():
        raise UsageError(f"{run}: the folder of a run must exist, and be named in full")
    if run.stat().st_mode & 0o077:
        raise UsageError(f"{run}: others may enter the folder of the run", hint=f"chmod 700 {run}")
    reports = run / wire.TSM_REPORTS
    reports.mkdir(parents=True, exist_ok=True)
    beside = reports.parent / CONFIGURATION_FILE
    if beside.exists() or any(reports.iterdir()):
        raise UsageError(f"{run}: this run was launched before; every run needs a folder of its own")
    beside.write_bytes(configuration)
    beside.chmod(0o644)
    reports.parent.chmod(0o755)
    reports.chmod(0o777)
    return reports


def _before_start(parent: int) -> None:
    """In the new process: die with the processor, gain no privileges, dump no core."""
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_NO_NEW_PRIVS, 1)):
        if _libc.prctl(option, int(value), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
