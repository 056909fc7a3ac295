"""Settings, their file, and the certificate."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509

from sealroom.host import __main__ as command
from sealroom.host import server, settings, tls
from sealroom.host.launcher.docker import DockerLauncher
from sealroom.host.launcher.process import ProcessLauncher
from sealroom.host.settings import BadSettings, Settings

KEY = "A" * 43


def made(home: Path, **changes: Any) -> Settings:
    return Settings(home=home, operator_key=KEY, **changes)


def test_what_is_saved_is_loaded_and_flags_overrule_it(tmp_path: Path) -> None:
    chosen = made(tmp_path, listen_port=1, image='a "quoted" folder', grant_wait=7.5)
    settings.save(chosen)
    assert settings.load(tmp_path) == chosen
    assert settings.load(tmp_path, listen_port=2, image=None) == dataclasses.replace(chosen, listen_port=2)
    with pytest.raises(FileExistsError):
        settings.save(chosen)


@pytest.mark.parametrize(
    "text",
    [
        "", "operator_key = 'short'", "nonsense", f"operator_key = '{KEY}'\nunknown = 1",
        f"operator_key = '{KEY}'\nhome = 'x'",
        f"operator_key = '{KEY}'\nlisten_port = '1'", f"operator_key = '{KEY}'\nlisten_port = true",
        f"operator_key = '{KEY}'\nlisten_port = 65536", f"operator_key = '{KEY}'\nlauncher = 'magic'",
        f"operator_key = '{KEY}'\nlauncher = 'docker'\nimage = 'name:latest'",
        f"operator_key = '{KEY}'\ngrant_wait = 0",
        f"operator_key = '{KEY}'\npublic_url = 'http://x'", f"operator_key = '{KEY}'\npublic_url = 'https://x/y'",
        f"operator_key = '{KEY}'\npublic_url = 'https://[x'", f"operator_key = '{KEY}'\npublic_url = 'https://x:99999'",
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / settings.FILE).write_text(text)
    with pytest.raises(BadSettings):
        settings.load(tmp_path)


def test_a_home_without_settings_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="sealroom-host init"):
        settings.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({"listen_port": 1}, "https://127.0.0.1:1"), ({"listen_host": "::1", "listen_port": 1}, "https://[::1]:1"),
        ({"public_url": "https://seal.example/"}, "https://seal.example"),
    ],
)  # fmt: skip
def test_callers_sign_the_public_url(tmp_path: Path, changes: Any, url: str) -> None:
    assert made(tmp_path, **changes).url == url


@pytest.mark.parametrize(
    ("url", "first"), [("https://seal.example:1", "seal.example"), ("https://192.0.2.7", "192.0.2.7")]
)
def test_the_certificate_names_the_public_host_and_loop_back(tmp_path: Path, url: str, first: str) -> None:
    now = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    certificate, key = tmp_path / "tls" / "c.pem", tmp_path / "tls" / "k.pem"
    tls.create(certificate=certificate, key=key, url=url, now=now)
    names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [str(name.value) for name in names.value] == [first, "localhost", "127.0.0.1"]
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        tls.create(certificate=certificate, key=key, url=url, now=now)


def test_the_settings_choose_the_launcher(tmp_path: Path) -> None:
    with pytest.raises(BadSettings):
        server.launcher(made(tmp_path))
    process = server.launcher(made(tmp_path, image="image", processor_socket="p.sock"))
    assert isinstance(process, ProcessLauncher)
    assert process.image.is_absolute()
    docker = server.launcher(
        made(tmp_path, launcher="docker", image="sha256:" + "0" * 64, processor_socket="p.sock", memory=5 << 20)
    )
    assert isinstance(docker, DockerLauncher)
    assert docker.share.memory == 5 << 20


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:x", ":1", "127.0.0.1:70000"])
def test_an_address_must_be_one(tmp_path: Path, listen: str) -> None:
    words = ["init", "--home", str(tmp_path / "h"), "--operator-key", KEY, "--listen", listen]
    result = CliRunner().invoke(command.cli, words)
    assert isinstance(result.exception, BadSettings)


def test_init_prints_what_parties_need(tmp_path: Path) -> None:
    words = ["init", "--home", str(tmp_path / "h"), "--operator-key", KEY, "--public-url", "https://seal.example"]
    result = CliRunner().invoke(command.cli, words)
    assert result.exit_code == 0
    assert result.output.splitlines()[0] == "url: https://seal.example"
    assert "certificate_sha256: " in result.output


def test_misuse_ends_with_two_and_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["sealroom-host", "status", "--home", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[1].startswith("sealroom-host: hint: ")


def test_an_address_that_is_taken_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(server, "serve", lambda *_, **__: (_ for _ in ()).throw(OSError("taken")))
    CliRunner().invoke(command.cli, ["init", "--home", str(tmp_path / "h"), "--operator-key", KEY])
    monkeypatch.setattr("sys.argv", ["sealroom-host", "serve", "--home", str(tmp_path / "h")])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("sealroom-host: error: OSError: taken\n")
