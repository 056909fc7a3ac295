"""Asks the platform for evidence over 64 bytes, through the kernel's configfs-tsm interface.

Runs in: the gate (TCB).   Believes: nothing that it reads; the relying parties check it.   Spec: §9.1.

On hardware the kernel serves the folder (Documentation/ABI/testing/configfs-tsm-report); on the simulated platform a
process outside does. This code cannot tell which.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import secrets
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from sealroom.attestation.evidence import SnpEvidence, snp_evidence
from sealroom.attestation.snp import abi, cert_table
from sealroom.protocol.errors import Malformed, NotAcceptable, UsageError

FOLDER_VARIABLE = "SEALROOM_TSM"
KERNEL_FOLDER = "/sys/kernel/config/tsm/report"
LAUNCH_CONFIGURATION = "launch_configuration"
"""Lies beside the folder of reports where a launcher puts the bytes behind HOST_DATA; no kernel does."""
PROVIDER = "sev_guest"
SECONDS = 30.0
_REPORT_DATA = 64
_MOST_NUMBER, _MOST_REPORT, _MOST_CONFIGURATION = 64, 1 << 14, 1 << 18
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.002
_VEKS = (cert_table.VCEK, cert_table.VLEK)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What the platform answered: raw bytes, not looked at; `launch_configuration` is None where there is none."""

    unverified_report: bytes
    unverified_certificates: bytes
    provider: str
    launch_configuration: bytes | None


def quote(report_data: bytes) -> SnpEvidence:
    """Evidence over `report_data` (64 bytes) from the platform that the environment names.

    Raises:
        TimeoutError: the platform did not answer.
        Malformed: it answered with something that is no SEV-SNP report or certificate table.
        NotAcceptable: another platform, a report over other bytes, or no certificates.
        OSError: there is no such platform.
    """
    found = collect(Path(os.environ.get(FOLDER_VARIABLE, KERNEL_FOLDER)), report_data)
    if found.provider != PROVIDER:
        raise NotAcceptable("quote-provider", f"the platform is {found.provider!a}, not {PROVIDER}")
    if abi.parse(found.unverified_report).report_data != report_data:
        raise NotAcceptable("quote-mismatch", "the platform's report is over other bytes than were asked for")
    certificates = cert_table.parse(found.unverified_certificates)
    vek = next((name for name in _VEKS if name in certificates), cert_table.VCEK)
    return snp_evidence(
        report=found.unverified_report,
        vek=_needed(certificates, vek),
        intermediate=_needed(certificates, cert_table.ASK),
        root=_needed(certificates, cert_table.ARK),
        crl=certificates.get(cert_table.CRL),
        host_data_preimage=found.launch_configuration,
    )


def collect(folder: Path, report_data: bytes, *, seconds: float = SECONDS) -> Quote:
    """The platform's answer over `report_data`, within `seconds`.

    Raises:
        TimeoutError: the platform did not answer.
        Malformed: an answer that is too long, or no number where one is due.
        NotAcceptable: somebody else wrote to the same request.
        OSError: there is no such platform.
    """
    if len(report_data) != _REPORT_DATA:
        raise UsageError(f"report data has {_REPORT_DATA} bytes, not {len(report_data)}")
    deadline = time.monotonic() + seconds
    with _request(folder) as entry:
        before = _number(_wait(entry / "generation", deadline, _MOST_NUMBER))
        _write(entry / "inblob", report_data, deadline)
        _wait_for_generation(entry, before + 1, deadline)
        answer = Quote(
            unverified_report=_wait(entry / "outblob", deadline, _MOST_REPORT),
            unverified_certificates=_wait(entry / "auxblob", deadline, cert_table.MOST_BYTES),
            provider=_wait(entry / "provider", deadline, _MOST_NUMBER).decode("ascii", "replace").strip(),
            launch_configuration=_optional(folder.parent / LAUNCH_CONFIGURATION),
        )
        # The kernel counts every write; a second one while we read could have mixed two answers.
        if _number(_read(entry / "generation", _MOST_NUMBER)) != before + 1:
            raise NotAcceptable("quote-raced", "somebody else wrote to our request for a report")
    return answer


@contextlib.contextmanager
def _request(folder: Path) -> Iterator[Path]:
    """A request of our own. Where the platform is a process, it may be another user's and must write into it too."""
    entry = folder / f"sealroom-{secrets.token_hex(8)}"
    mask = os.umask(0)
    try:
        entry.mkdir(mode=0o777)
    finally:
        os.umask(mask)
    try:
        yield entry
    finally:
        # configfs removes the attributes with the folder; elsewhere they keep it from going, which harms nobody.
        with contextlib.suppress(OSError):
            entry.rmdir()


def _wait_for_generation(entry: Path, due: int, deadline: float) -> None:
    for _ in _pauses(deadline):
        found = _number(_read(entry / "generation", _MOST_NUMBER))
        if found == due:
            return
        if found > due:
            raise NotAcceptable("quote-raced", "somebody else wrote to our request for a report")
    raise TimeoutError("the platform gave no report in time")


def _wait(path: Path, deadline: float, most: int) -> bytes:
    """The content of an attribute as soon as it has any."""
    for _ in _pauses(deadline):
        with contextlib.suppress(FileNotFoundError):
            if data := _read(path, most):
                return data
    raise TimeoutError(f"the platform did not provide {path.name} in time")


def _pauses(deadline: float) -> Iterator[None]:
    pause = _FIRST_PAUSE
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _read(path: Path, most: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    data = b""
    try:
        while len(data) <= most and (more := os.read(fd, most + 1 - len(data))):
            data += more
    finally:
        os.close(fd)
    if len(data) > most:
        raise Malformed("too-large", f"the platform's {path.name} has more than {most} bytes")
    return data


def _optional(path: Path) -> bytes | None:
    try:
        return _read(path, _MOST_CONFIGURATION)
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes, deadline: float) -> None:
    """One write, since the kernel takes every write as a request; it says EBUSY while another report is being made."""
    for _ in _pauses(deadline):
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            written = os.write(fd, data)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            continue
        finally:
            os.close(fd)
        if written != len(data):
            raise OSError(errno.EIO, "the platform took only a part of the report data")
        return
    raise TimeoutError("the platform did not take the report data in time")


def _number(data: bytes) -> int:
    text = data.strip()
    if not text.isdigit() or len(text) > 20:
        raise Malformed("quote-number", "the platform's generation is no number")
    return int(text)


def _needed(certificates: dict[uuid.UUID, bytes], name: uuid.UUID) -> bytes:
    found = certificates.get(name)
    if found is None:
        hint = "the host must provide AMD's certificate chain beside the report (SNP_SET_EXT_CONFIG)"
        raise NotAcceptable("quote-certificates", "the platform sent no complete certificate chain", hint=hint)
    return found
