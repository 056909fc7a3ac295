"""The quoter takes an answer only to its own question, and neither waits nor reads longer than it may."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from sealroom.attestation import evidence
from sealroom.attestation.simulated.tsm import ReportFolder
from sealroom.attestation.snp import abi, cert_table
from sealroom.enclave import quoter
from sealroom.protocol.errors import Malformed, NotAcceptable, UsageError
from tests.attestation import simulation

ASKED = bytes(range(64))
ZERO = "00" * 48


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    return simulation.processor(tmp_path_factory.mktemp("processor") / "home")


@pytest.fixture
def reports(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "tsm" / "report"
    folder.mkdir(parents=True)
    monkeypatch.setenv("SEALROOM_TSM", str(folder))
    return folder


def answering(processor, report_data: bytes | None = None, certificates: bytes | None = None):
    def answer(asked: bytes) -> tuple[bytes, bytes]:
        data = asked if report_data is None else report_data
        report = processor.report(report_data=data, measurement=ZERO, host_data="00" * 32, report_id=bytes(32))
        return report, processor.certificate_table(int(time.time())) if certificates is None else certificates

    return answer


def test_a_quote_is_the_platforms_report_with_its_certificates(processor, reports):
    (reports.parent / "launch_configuration").write_bytes(b"{}")
    with simulation.served(ReportFolder(reports, answering(processor))):
        found = quoter.quote(ASKED)
    report = abi.parse(evidence.unverified_bytes(found.report))
    assert report.report_data == ASKED
    assert evidence.unverified_bytes(found.root) == processor.root_certificate
    assert found.crl is not None
    assert evidence.unverified_bytes(found.host_data_preimage) == b"{}"


def test_where_the_kernel_serves_there_is_no_launch_configuration(processor, reports):
    with simulation.served(ReportFolder(reports, answering(processor))):
        assert quoter.quote(ASKED).host_data_preimage is None


def test_every_quote_is_a_request_of_its_own(processor, reports):
    with simulation.served(ReportFolder(reports, answering(processor))):
        one, other = quoter.collect(reports, ASKED), quoter.collect(reports, bytes(64))
    assert abi.parse(one.unverified_report).report_data == ASKED
    assert abi.parse(other.unverified_report).report_data == bytes(64)


def test_a_report_over_other_bytes_is_refused(processor, reports):
    folder = ReportFolder(reports, answering(processor, report_data=bytes(64)))
    with simulation.served(folder), pytest.raises(NotAcceptable) as caught:
        quoter.quote(ASKED)
    assert caught.value.code == "E3.quote-mismatch"


def test_a_report_without_certificates_is_refused(processor, reports):
    folder = ReportFolder(reports, answering(processor, certificates=bytes(cert_table.ENTRY)))
    with simulation.served(folder), pytest.raises(NotAcceptable) as caught:
        quoter.quote(ASKED)
    assert caught.value.code == "E3.quote-certificates"


def test_another_platform_is_refused(processor, reports, monkeypatch):
    monkeypatch.setattr("sealroom.attestation.simulated.tsm.PROVIDER", b"tdx_guest\n")
    with simulation.served(ReportFolder(reports, answering(processor))), pytest.raises(NotAcceptable) as caught:
        quoter.quote(ASKED)
    assert caught.value.code == "E3.quote-provider"


def test_report_data_of_another_length_is_a_mistake_of_the_caller(reports):
    with pytest.raises(UsageError):
        quoter.collect(reports, bytes(63))


def test_a_machine_without_a_platform_is_an_error_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        quoter.collect(tmp_path / "nothing" / "report", ASKED)


class Stage:
    """Stands for a platform whose every answer the test decides, at the moment the request is made."""

    def __init__(self, monkeypatch, **files: bytes) -> None:
        self.files = {"generation": b"0\n", "inblob": b"", "provider": b"sev_guest\n"} | files
        self.after: dict[str, bytes] = {"generation": b"1\n", "outblob": b"report", "auxblob": b"table"}
        make = Path.mkdir

        def mkdir(path, mode=0o777):
            make(path, mode)
            self._put(path, self.files)

        genuine = quoter._write

        def write(path, data, deadline):
            genuine(path, data, deadline)
            self._put(path.parent, self.after)

        monkeypatch.setattr(Path, "mkdir", mkdir)
        monkeypatch.setattr(quoter, "_write", write)

    def _put(self, path: Path, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            (path / name).write_bytes(data)


@pytest.fixture
def stage(monkeypatch, reports):
    return Stage(monkeypatch)


def test_an_answer_is_taken_as_it_is(stage, reports):
    found = quoter.collect(reports, ASKED)
    assert (found.unverified_report, found.unverified_certificates) == (b"report", b"table")
    assert found.provider == "sev_guest"


@pytest.mark.parametrize("missing", ["generation", "outblob", "auxblob"])
def test_a_platform_that_does_not_answer_is_not_waited_for_forever(stage, reports, missing):
    stage.files.pop(missing, None)
    stage.after.pop(missing, None)
    with pytest.raises(TimeoutError):
        quoter.collect(reports, ASKED, seconds=0.05)


def test_a_generation_that_never_moves_is_not_waited_for_forever(stage, reports):
    stage.after["generation"] = b"0\n"
    with pytest.raises(TimeoutError):
        quoter.collect(reports, ASKED, seconds=0.05)


def test_a_second_writer_to_the_request_is_noticed(stage, reports):
    stage.after["generation"] = b"2\n"
    with pytest.raises(NotAcceptable) as caught:
        quoter.collect(reports, ASKED)
    assert caught.value.code == "E3.quote-raced"


def test_a_second_writer_while_the_answer_is_read_is_noticed(stage, reports, monkeypatch):
    genuine = quoter._optional

    def optional(path):
        (next(reports.iterdir()) / "generation").write_bytes(b"2\n")
        return genuine(path)

    monkeypatch.setattr(quoter, "_optional", optional)
    with pytest.raises(NotAcceptable) as caught:
        quoter.collect(reports, ASKED)
    assert caught.value.code == "E3.quote-raced"


@pytest.mark.parametrize("text", [b"one\n", b"-1\n", b"1" * 30])
def test_a_generation_that_is_no_number_is_refused(stage, reports, text):
    stage.files["generation"] = text
    with pytest.raises(Malformed) as caught:
        quoter.collect(reports, ASKED)
    assert caught.value.code == "E1.quote-number"


@pytest.mark.parametrize("name", ["outblob", "auxblob"])
def test_an_answer_that_is_too_long_is_refused(stage, reports, name):
    stage.after[name] = bytes(1 << 18)
    with pytest.raises(Malformed) as caught:
        quoter.collect(reports, ASKED)
    assert caught.value.code == "E1.too-large"


def test_a_busy_kernel_is_asked_again_until_time_is_up(stage, reports, monkeypatch):
    genuine, busy = os.write, [True, True, False]

    def write(fd, data):
        if data == ASKED and busy.pop(0):
            raise OSError(errno.EBUSY, "busy")
        return genuine(fd, data)

    monkeypatch.setattr(os, "write", write)
    assert quoter.collect(reports, ASKED).unverified_report == b"report"
    busy[:] = [True] * 1000
    with pytest.raises(TimeoutError):
        quoter.collect(reports, ASKED, seconds=0.05)


def test_a_partial_write_is_an_error(stage, reports, monkeypatch):
    genuine = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: genuine(fd, data[:10]))
    with pytest.raises(OSError, match="only a part"):
        quoter.collect(reports, ASKED)
