"""Key files and where a passphrase comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealroom.client import files, keyfile, passphrase
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.protocol.errors import Malformed, UsageError
from sealroom.protocol.keys import SealingKey, SigningKey

PHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> bytes:
    path = tmp_path_factory.mktemp("keys") / "k"
    keyfile.create(path, key, PHRASE)
    return path.read_bytes()


@pytest.fixture
def path(made: bytes, tmp_path: Path) -> Path:
    found = tmp_path / "signing.key"
    found.touch(mode=0o600)
    found.write_bytes(made)
    return found


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


def test_a_key_opens_under_its_passphrase_alone(path: Path, key: SigningKey) -> None:
    assert keyfile.unlock_signing(path, PHRASE).seed == key.seed
    with pytest.raises(NotAuthorized):
        keyfile.unlock_signing(path, PHRASE + " ")


def test_a_sealing_key_comes_back_whole(tmp_path: Path) -> None:
    key = SealingKey.generate()
    keyfile.create(tmp_path / "k", key, PHRASE)
    assert keyfile.unlock_sealing(tmp_path / "k", PHRASE).seed == key.seed


def test_a_new_file_is_private_and_never_replaces_another(tmp_path: Path, key: SigningKey) -> None:
    target = tmp_path / "k"
    target.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        keyfile.create(target, key, PHRASE)
    assert target.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["k"]


def test_neither_seed_nor_passphrase_is_in_the_file(path: Path, key: SigningKey) -> None:
    data = path.read_bytes()
    assert key.seed not in data
    assert key.seed.hex().encode() not in data
    assert PHRASE.encode() not in data


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_can_use_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(UsageError, match="others on this machine"):
        keyfile.load(path, "signing")


def test_a_key_of_the_other_kind_is_refused(path: Path) -> None:
    with pytest.raises(Malformed) as caught:
        keyfile.load(path, "sealing")
    assert caught.value.code == "E1.wrong-kind"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("passes", 1, "E1.out-of-range"), ("memory", 1 << 20, "E1.out-of-range"),
        ("memory", 1 << 40, "E1.out-of-range"),
        ("kdf", "none", "E1.not-allowed"), ("extra", 1, "E1.unknown-field"),
    ],
)  # fmt: skip
def test_costs_have_bounds_and_fields_are_closed(path: Path, field: str, value: object, code: str) -> None:
    change(path, **{field: value})
    with pytest.raises(Malformed) as caught:
        keyfile.load(path, "signing")
    assert caught.value.code == code


def test_a_swapped_public_half_is_noticed(path: Path) -> None:
    change(path, public=SigningKey.generate().public.text)
    with pytest.raises(NotAuthorized, match="another key"):
        keyfile.unlock_signing(path, PHRASE)


def test_what_is_no_json_and_what_is_too_large_is_refused(path: Path) -> None:
    path.write_text("{")
    with pytest.raises(Malformed):
        keyfile.load(path, "signing")
    path.write_text("x" * (1 << 15))
    with pytest.raises(Unreachable, match="larger"):
        keyfile.load(path, "signing")


def test_the_passphrase_comes_from_a_private_file_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "phrase"
    file.touch(mode=0o600)
    file.write_text("from the file\n")
    monkeypatch.setenv("SEALROOM_PASSPHRASE", "from the environment")
    assert passphrase.ask("x") == "from the environment"
    monkeypatch.setenv("SEALROOM_PASSPHRASE_FILE", str(file))
    assert passphrase.ask("x") == "from the file"
    assert "FILE" in passphrase.source()
    file.chmod(0o644)
    with pytest.raises(UsageError, match="others on this machine"):
        passphrase.ask("x")


def test_without_a_source_and_a_person_there_is_no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEALROOM_PASSPHRASE")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert passphrase.source() == "nowhere"
    with pytest.raises(NotAuthorized):
        passphrase.ask("x")


def test_a_new_passphrase_may_not_be_short_nor_a_file_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALROOM_PASSPHRASE", "short")
    with pytest.raises(UsageError, match="at least 8"):
        passphrase.ask("x", new=True)
    file = tmp_path / "phrase"
    file.touch(mode=0o600)
    monkeypatch.setenv("SEALROOM_PASSPHRASE_FILE", str(file))
    with pytest.raises(NotAuthorized, match="no passphrase"):
        passphrase.ask("x")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="text"):
        passphrase.ask("x")


def test_a_block_that_fails_leaves_no_file_behind(tmp_path: Path) -> None:
    def write_half() -> None:
        with files.replacing(tmp_path / "out") as sink:
            sink.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "absent", Path("/dev/null")):
        with pytest.raises(Unreachable):
            files.read(wrong, most=10)
    with pytest.raises(Unreachable):
        files.require_private(tmp_path / "absent")
