"""Bundle archives: one spelling, and no way out of it."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from sealroom.protocol import bundle
from sealroom.protocol.errors import Malformed

MANIFEST = b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run"}'
FILES = {"bundle.json": MANIFEST, "job.py": b"def run(tables, ask):\n    return []\n", "lib/a_1.py": b"x" * 512}


def code_of(data: bytes) -> str:
    with pytest.raises(Malformed) as caught:
        bundle.read(data)
    return caught.value.code


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_a_bundle_reads_back_and_is_a_tar_file() -> None:
    archive = bundle.build(FILES)
    read = bundle.read(archive)
    assert dict(read.files) == FILES
    assert (read.manifest.lane, read.manifest.module, read.manifest.function) == ("whole", "job", "run")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert {m.name: (m.size, m.mode, m.mtime) for m in tar} == {n: (len(d), 0o644, 0) for n, d in FILES.items()}


def test_equal_folders_give_equal_bytes_whatever_their_times_and_modes(tmp_path: Path) -> None:
    one = write(tmp_path / "one", FILES)
    two = write(tmp_path / "two", dict(reversed(FILES.items())))
    os.utime(two / "job.py", (1, 1))
    (two / "job.py").chmod(0o755)
    (two / "__pycache__").mkdir()
    (two / "__pycache__" / "job.cpython-311.pyc").write_bytes(b"x")
    assert bundle.pack(one) == bundle.pack(two) == bundle.build(FILES)


@pytest.mark.parametrize("name", ["Job.py", "a b.py", "x.so", ".hidden.py", "a-b.py", "x" * 98 + ".py", "é.py"])
def test_a_folder_with_another_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Malformed) as caught:
        bundle.pack(write(tmp_path, {**FILES, name: b""}))
    assert caught.value.code == "E1.bad-name"


def test_a_folder_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed) as caught:
        bundle.pack(write(tmp_path, {**FILES, "a/" * 8 + "b.py": b""}))
    assert caught.value.code == "E1.bad-name"
    with pytest.raises(Malformed) as caught:
        bundle.pack(write(tmp_path, {"a/" * 9 + "b.py": b""}))
    assert caught.value.code == "E1.too-deep"


def test_links_and_special_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "passwd.txt").symlink_to("/etc/passwd")
    with pytest.raises(Malformed) as caught:
        bundle.pack(tmp_path)
    assert caught.value.code == "E1.not-regular"
    (tmp_path / "passwd.txt").unlink()
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(Malformed) as caught:
        bundle.pack(tmp_path)
    assert caught.value.code == "E1.not-regular"


def test_too_many_or_too_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {**FILES, **{f"f{i}.txt": b"" for i in range(510)}})
    with pytest.raises(Malformed) as caught:
        bundle.pack(tmp_path)
    assert caught.value.code == "E1.too-many-files"
    monkeypatch.setattr(bundle, "MOST_BYTES", 600)
    with pytest.raises(Malformed) as caught:
        bundle.pack(tmp_path)
    assert caught.value.code == "E1.too-large"


def tar(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.USTAR_FORMAT) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (tar((member("a.py", tarfile.SYMTYPE, linkname="/etc/passwd"), b"")), "E1.bad-header"),
        (tar((member("a.py", tarfile.LNKTYPE, linkname="b.py"), b"")), "E1.bad-header"),
        (tar((member("a.py", tarfile.CHRTYPE), b"")), "E1.bad-header"),
        (tar((member("a.py", tarfile.FIFOTYPE), b"")), "E1.bad-header"),
        (tar((member("a", tarfile.DIRTYPE), b"")), "E1.bad-name"),
        (tar((member("../a.py"), b"")), "E1.bad-name"),
        (tar((member("/a.py"), b"")), "E1.bad-name"),
        (tar((member("a//b.py"), b"")), "E1.bad-name"),
        (tar((member("a.py", mode=0o755), b"")), "E1.bad-header"),
        (tar((member("a.py", uid=1), b"")), "E1.bad-header"),
        (tar((member("a.py", mtime=1), b"")), "E1.bad-header"),
        (tar((member("a.py", uname="root"), b"")), "E1.bad-header"),
        (tar((member("é.py"), b""), format=tarfile.PAX_FORMAT), "E1.bad-name"),
        (tar((member("a.py", pax_headers={"path": "/x"}), b""), format=tarfile.PAX_FORMAT), "E1.bad-name"),
        (tar((member("a" * 120 + ".py"), b""), format=tarfile.GNU_FORMAT), "E1.bad-name"),
        (b"", "E1.cut-short"),
        (bytes(512), "E1.cut-short"),
        (bytes(100), "E1.cut-short"),
    ],
)
def test_what_other_archives_may_hold_is_refused(archive: bytes, code: str) -> None:
    if archive == bytes(512):
        code = "E1.bad-header"
    assert code_of(archive) == code


def changed(at: int, byte: bytes) -> bytes:
    archive = bundle.build(FILES)
    return archive[:at] + byte + archive[at + 1 :]


def test_every_changed_byte_of_a_header_or_padding_is_refused() -> None:
    for at in [*range(512), *range(512 + len(MANIFEST), 1024)]:
        with pytest.raises(Malformed):
            bundle.read(changed(at, bytes([bundle.build(FILES)[at] ^ 2])))


def test_a_wrong_checksum_dirty_padding_and_trailing_bytes_are_told_apart() -> None:
    archive = bundle.build(FILES)
    assert code_of(changed(148, b"7")) == "E1.bad-header"
    assert code_of(changed(1023, b"x")) == "E1.bad-padding"
    assert code_of(archive + bytes(512)) == "E1.trailing-bytes"
    assert code_of(archive[:-1]) == "E1.cut-short" or code_of(archive[:-1]) == "E1.bad-header"
    assert code_of(archive[:600]) == "E1.cut-short"


def test_a_size_beyond_the_archive_is_refused() -> None:
    header = bundle._header("a.py", 1 << 20)
    assert code_of(header + bytes(2048)) == "E1.cut-short"
    assert code_of(bundle._header("a.py", 8**11 - 1) + bytes(2048)) == "E1.too-large"


def test_unsorted_and_repeated_files_are_refused() -> None:
    parts = [bundle._header(n, 0) for n in ("b.py", "a.py")]
    assert code_of(b"".join(parts) + bytes(1024)) == "E1.out-of-order"
    assert code_of(parts[0] * 2 + bytes(1024)) == "E1.out-of-order"


def test_too_many_files_in_an_archive_are_refused() -> None:
    parts = [bundle._header(f"a{i:04}.py", 0) for i in range(513)]
    assert code_of(b"".join(parts) + bytes(1024)) == "E1.too-large"
    assert code_of(bytes(20 << 20)) == "E1.too-large"


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (None, "E1.no-manifest"),
        (b"x" * 70000, "E1.no-manifest"),
        (b"{", "E1.not-json"),
        (b'{"format":1,"format":1}', "E1.not-json"),
        (b"\xff", "E1.not-json"),
        (b'{"format":"sealroom/bundle/v2","lane":"whole","entry":"job:run"}', "E1.not-allowed"),
        (b'{"format":"sealroom/bundle/v1","lane":"all","entry":"job:run"}', "E1.not-allowed"),
        (b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"job:run","x":1}', "E1.unknown-field"),
        (b'{"format":"sealroom/bundle/v1","lane":"whole"}', "E1.missing-field"),
        (b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"../job:run"}', "E1.bad-text"),
        (b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"other:run"}', "E1.no-entry"),
        (b'{"format":"sealroom/bundle/v1","lane":"whole","entry":"query.json"}', "E1.no-entry"),
        (b'{"format":"sealroom/bundle/v1","lane":"query","entry":"job:run"}', "E1.no-entry"),
        (b'{"format":"sealroom/bundle/v1","lane":"query","entry":"query.json"}', "E1.no-entry"),
    ],
)
def test_a_manifest_that_is_not_exact_is_refused(manifest: bytes | None, code: str) -> None:
    files = {"job.py": b""} | ({} if manifest is None else {"bundle.json": manifest})
    with pytest.raises(Malformed) as caught:
        bundle.build(files)
    assert caught.value.code == code


def test_an_entry_with_two_meanings_is_refused() -> None:
    with pytest.raises(Malformed) as caught:
        bundle.build({"bundle.json": MANIFEST, "job.py": b"", "job/__init__.py": b""})
    assert caught.value.code == "E1.no-entry"


def test_a_query_bundle_needs_its_query() -> None:
    manifest = b'{"format":"sealroom/bundle/v1","lane":"query","entry":"query.json"}'
    read = bundle.read(bundle.build({"bundle.json": manifest, "query.json": b"{}"}))
    assert read.manifest.lane == "query"
