"""The image builder: what is in an image, and that it depends on nothing but its sources."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sealroom.enclave.jail import layers
from sealroom.host.image import __main__ as command
from sealroom.host.image import elf, interpreter
from sealroom.host.image.build import LAYERS, Recipe, build, launch_document
from sealroom.host.image.distributions import Locked
from sealroom.host.image.errors import BuildError
from sealroom.protocol import canonical

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="images are built on Linux only")


def tiny_sources(where: Path, root: Path) -> Path:
    """A checkout whose image holds the gate's packages in both places, so that it builds in a few seconds."""
    where.mkdir()
    for name in ("protocol", "attestation", "enclave"):
        shutil.copytree(root / name, where / name, ignore=shutil.ignore_patterns("__pycache__"))
    (where / "sealroom").mkdir()
    (where / "sealroom" / "__init__.py").write_bytes((root / "sealroom" / "__init__.py").read_bytes())
    (where / "requirements").mkdir()
    (where / "requirements" / "gate.txt").write_text((root / "requirements" / "gate.txt").read_text())
    anyascii = [line for line in (root / "requirements" / "job.txt").read_text().splitlines() if "anyascii==" in line]
    (where / "requirements" / "job.txt").write_text("\n".join(anyascii))
    return where


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() + oct(path.stat().st_mode).encode()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    where = tmp_path_factory.mktemp("image")
    sources = tiny_sources(where / "sources", root)
    build(where / "out", Recipe(kind="process", platform="simulated", sources=sources))
    return where / "out"


def run(image: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    python = image / "python" / "bin" / "python3"
    return subprocess.run([python, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


def test_two_builds_in_different_folders_are_equal_byte_for_byte(image, tmp_path):
    sources = shutil.copytree(image.parent / "sources", tmp_path / "elsewhere")
    build(tmp_path / "deep" / "er" / "out", Recipe(kind="process", platform="simulated", sources=sources))
    one, other = tree(image), tree(tmp_path / "deep" / "er" / "out")
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []


def test_a_second_build_has_nothing_to_do(image):
    recipe = Recipe(kind="process", platform="simulated", sources=image.parent / "sources")
    assert build(image, recipe) == []


def test_only_a_changed_part_is_built_again(tmp_path, root):
    sources = tiny_sources(tmp_path / "sources", root)
    recipe = Recipe(kind="container", platform="hardware", sources=sources)
    assert build(tmp_path / "out", recipe) == ["gate", "job", "app", "launch.json"]
    before = tree(tmp_path / "out")
    shutil.rmtree(sources / "protocol")
    (sources / "protocol").mkdir()
    (sources / "protocol" / "__init__.py").write_text("")
    assert build(tmp_path / "out", recipe) == ["app", "launch.json"]
    after = tree(tmp_path / "out")
    assert {name for name in before if before[name] != after.get(name)} >= {"app/sealroom/protocol/errors.py"}
    assert not any(name.startswith("app/sealroom/protocol/e") for name in after)


def test_an_interrupted_build_leaves_nothing_that_can_be_launched(tmp_path, root, monkeypatch):
    sources = tiny_sources(tmp_path / "sources", root)
    recipe = Recipe(kind="container", platform="simulated", sources=sources)
    build(tmp_path / "out", recipe)
    lock = sources / "requirements" / "job.txt"
    lock.write_text(lock.read_text() + "\n")
    (tmp_path / "out.stamps.json").write_text("not json")
    monkeypatch.setattr(Locked, "copy_to", lambda self, target: (_ for _ in ()).throw(BuildError("cut short")))
    with pytest.raises(BuildError, match="cut short"):
        build(tmp_path / "out", recipe)
    assert not (tmp_path / "out" / "launch.json").exists()


def test_the_interpreter_finds_itself_and_its_library_inside_the_image(image):
    text = "import sys, json; print(json.dumps([sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path]))"
    found = json.loads(run(image, "-I", "-S", "-B", "-c", text, env={}).stdout)
    assert all(path.startswith(f"{image}/python") for path in found)
    text = "print(open('/proc/self/maps').read())"
    maps = run(image, "-I", "-S", "-B", "-c", text, env={}).stdout
    libraries = {line.split()[-1] for line in maps.splitlines() if "libpython" in line}
    assert all(path.startswith(str(image)) for path in libraries)


def test_extension_modules_of_the_standard_library_load_and_lead_nowhere_else(image):
    text = "import ctypes, zlib, hashlib, fcntl, resource; print(open('/proc/self/maps').read())"
    maps = run(image, "-I", "-S", "-B", "-c", text, env={}).stdout
    loaded = {line.split()[-1] for line in maps.splitlines() if "lib-dynload" in line}
    assert loaded
    assert all(path.startswith(str(image)) for path in loaded)


def test_byte_code_is_used_and_never_checks_or_writes_anything(image):
    files = list(image.rglob("*.pyc"))
    assert len(files) > 300
    # PEP 552: flags 1 = hash-based, and bit 1 clear = unchecked.
    assert {path.read_bytes()[4:8] for path in files} == {b"\x01\0\0\0"}
    before = tree(image)
    assert run(image, "-I", "-S", "-B", "-c", "import json, email.message", env={}).returncode == 0
    assert tree(image) == before


def test_no_path_of_the_building_machine_is_in_byte_code(image, root):
    machine = [str(root).encode(), str(image).encode(), str(image.parent).encode()]
    guilty = [path for path in image.rglob("*.pyc") if any(text in path.read_bytes() for text in machine)]
    assert guilty == []


def test_pth_and_sitecustomize_files_cannot_take_effect(image, tmp_path):
    code = "import sys; sys.stdout.write('INTRUDER'); sys.stdout.flush()\n"
    home = tmp_path / "home"
    user = home / ".local" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    user.mkdir(parents=True)
    for folder in (user, tmp_path):
        (folder / "intruder.pth").write_text(code)
        (folder / "sitecustomize.py").write_text(code)
        (folder / "usercustomize.py").write_text(code)
    environment = {"HOME": str(home), "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "sitecustomize.py")}
    plain = run(image, "-c", "pass", env=environment)
    assert "INTRUDER" in plain.stdout
    ours = run(image, "-I", "-S", "-B", "-c", "print('alone')", env=environment, cwd=tmp_path)
    assert ours.stdout == "alone\n"


@pytest.mark.parametrize("arguments", [["gate"], ["-I", "-S", "gate"], ["-I", "-S", "-B"], ["-I", "-S", "-B", "shell"]])
def test_boot_refuses_to_start_without_isolation_or_for_an_unknown_role(image, arguments):
    flags, role = [a for a in arguments if a.startswith("-")], [a for a in arguments if not a.startswith("-")]
    done = run(image, *flags, str(image / "app" / "boot.py"), *role)
    assert done.returncode == 2
    assert done.stderr.startswith("boot: error: ")


@pytest.mark.parametrize("rest", [["gate", "3"], ["engine"], ["zygote", "three"], ["engine", "3", "4"]])
def test_boot_refuses_a_missing_or_surplus_control_descriptor(image, rest):
    done = run(image, "-I", "-S", "-B", str(image / "app" / "boot.py"), *rest)
    assert done.returncode == 2


def test_gate_and_job_packages_are_apart_and_nothing_of_the_simulator_is_there(image):
    assert (image / "gate" / "cryptography").is_dir()
    assert not (image / "job" / "cryptography").exists()
    assert not (image / "gate" / "anyascii").exists()
    assert (image / "app" / "sealroom" / "attestation" / "snp").is_dir()
    for name in ("attestation/simulated", "attestation/measurement", "host", "client", "enclave/boot.py"):
        assert not (image / "app" / "sealroom" / name).exists()


def test_modes_are_normal_and_no_file_is_a_link_or_special(image):
    for path in image.rglob("*"):
        assert not path.is_symlink()
        expected = 0o755 if path.is_dir() or path == image / "python" / "bin" / "python3" else 0o644
        assert path.stat().st_mode & 0o7777 == expected, path


@pytest.mark.parametrize("kind", ["process", "container"])
@pytest.mark.parametrize("platform", ["simulated", "hardware"])
def test_the_launch_document_is_canonical_and_says_where_evidence_comes_from(kind, platform):
    data = launch_document(Recipe(kind=kind, platform=platform))
    document = canonical.decode(data, most=1 << 16)
    reports = document["env"]["SEALROOM_TSM"]
    assert reports == ("tsm/report" if platform == "simulated" else "/sys/kernel/config/tsm/report")
    assert (document["user"] is None) == (kind == "process")


def test_every_layer_that_an_image_requires_is_one_that_a_jail_can_have():
    assert {name.partition(":")[2] for name in LAYERS} == set(layers.BASE)
    assert {name.partition(":")[0] for name in LAYERS} == {"engine", "jail"}


def test_a_package_that_is_missing_or_of_another_version_is_refused(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("no-such-package==1.0\n")
    with pytest.raises(BuildError, match="no-such-package is not installed"):
        Locked(lock)
    lock.write_text("pytest==0.0.1\n")
    with pytest.raises(BuildError, match=r"pytest is installed as .*; lock.txt names 0.0.1"):
        Locked(lock)
    lock.write_text("# nothing\n")
    with pytest.raises(BuildError, match="locks no package"):
        Locked(lock)


def test_a_package_for_other_environments_may_be_missing(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("no-such-package==1.0 ; python_version < '3'\n")
    Locked(lock).copy_to(tmp_path / "out")
    assert not (tmp_path / "out").exists()


class FakeDistribution:
    """Stands for an installed package with one file and the record that goes with it."""

    def __init__(self, where: Path, record: str) -> None:
        self._where, self.name, self.version = where, "fake", "1"
        self.metadata = {"Name": "fake"}
        self.files = [_entry(line) for line in record.splitlines()]

    def locate_file(self, path) -> Path:
        return self._where / path


def _entry(line: str):
    name, _, hashed = line.partition(",")
    entry = importlib.metadata.PackagePath(name)
    entry.hash = importlib.metadata.FileHash(hashed) if hashed else None
    return entry


@pytest.fixture
def installed(tmp_path, monkeypatch):
    def make(record: str, copies: int = 1) -> Locked:
        found = FakeDistribution(tmp_path, record)
        monkeypatch.setattr("importlib.metadata.distributions", lambda: [found])
        (tmp_path / "fake.py").write_text("x = 1\n")
        (tmp_path / "lock.txt").write_text("fake==1\n")
        locked = Locked(tmp_path / "lock.txt")
        locked._found *= copies
        return locked

    return make


GOOD = "fake.py,sha256=7ZSuRYYdcdDrtwLlJE6wm64Ld4zo5ziQQm1C0TjNpW0"


def test_a_file_that_was_changed_after_installation_is_refused(installed, tmp_path):
    with pytest.raises(BuildError, match="was changed after it was installed"):
        installed(GOOD[:-1] + "x").copy_to(tmp_path / "out")


def test_a_file_that_no_record_vouches_for_is_refused(installed, tmp_path):
    with pytest.raises(BuildError, match=r"no SHA-256 of fake\.py"):
        installed("fake.py").copy_to(tmp_path / "out")


def test_a_file_of_two_packages_is_refused(installed, tmp_path):
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).rstrip(b"=").decode()
    with pytest.raises(BuildError, match="belongs to another package too"):
        installed(f"fake.py,sha256={digest}", copies=2).copy_to(tmp_path / "out")


def test_what_is_not_an_x86_64_program_is_not_relocated(tmp_path):
    (tmp_path / "script").write_bytes(b"#!/bin/sh\n" + bytes(100))
    with pytest.raises(BuildError, match="not an x86-64 program"):
        elf.relocate(tmp_path / "script")


def elf_with(strings: list[tuple[int, bytes]], *, cover: bool = True) -> bytes:
    """The smallest ELF-64 file with a dynamic segment that names these (tag, string) pairs."""
    table, entries = b"\0", []
    for tag, text in strings:
        entries.append((tag, len(table)))
        table += text + b"\0"
    start = 64 + 2 * 56
    dynamic = b"".join(struct.pack("<QQ", *pair) for pair in [*entries, (5, start), (0, 0)])
    end = start + len(table) + len(dynamic)
    header = struct.pack("<16xHHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    loads = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, end if cover else 8, end, 4096)
    dynamics = struct.pack("<IIQQQQQQ", 2, 4, start + len(table), 0, 0, len(dynamic), len(dynamic), 8)
    return b"\x7fELF\x02\x01" + header[6:] + loads + dynamics + table + dynamic


def test_run_paths_and_libpython_are_found_beside_the_program(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(elf_with([(1, b"libpython3.11.so.1.0"), (1, b"libc.so.6"), (29, b"/opt/python/lib")]))
    elf.relocate(path)
    data = path.read_bytes()
    assert b"$ORIGIN/libpython\0\0\0\0" in data
    assert b"libc.so.6\0" in data
    assert b"\0$ORIGIN\0" in data
    assert b"/opt" not in data


def test_a_string_too_short_to_be_replaced_is_refused(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(elf_with([(29, b"/lib")]))
    with pytest.raises(BuildError, match="no room to replace '/lib'"):
        elf.relocate(path)


def test_a_program_whose_strings_lie_nowhere_is_refused(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(elf_with([(29, b"/opt/python/lib")], cover=False))
    with pytest.raises(BuildError, match="in none of its segments"):
        elf.relocate(path)


def test_other_machines_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "uname", type("U", (), {"machine": "aarch64"}))
    with pytest.raises(BuildError, match="x86-64 only"):
        build(tmp_path / "out", Recipe(kind="process", platform="simulated"))


def test_the_command_reports_what_it_built_and_why_it_could_not(tmp_path, monkeypatch, capsys):
    arguments = ["build", "--out", str(tmp_path / "out"), "--tsm", "simulated"]
    monkeypatch.setattr(command, "build", lambda out, recipe: ["app"])
    assert command.main(arguments) == 0
    assert "built app" in capsys.readouterr().err

    def refuse(out: Path, recipe: Recipe) -> list[str]:
        raise BuildError("no")

    monkeypatch.setattr(command, "build", refuse)
    assert command.main(arguments) == 1
    assert capsys.readouterr().err == "sealroom: error: no\n"


def test_a_compiler_that_fails_stops_the_build(tmp_path, root, monkeypatch):
    sources = tiny_sources(tmp_path / "sources", root)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BuildError, match="could not be compiled"):
        build(tmp_path / "out", Recipe(kind="container", platform="simulated", sources=sources))
    assert not (tmp_path / "out" / "launch.json").exists()


def test_a_source_that_is_not_valid_python_stays_a_source(tmp_path, root):
    sources = tiny_sources(tmp_path / "sources", root)
    (sources / "enclave" / "broken.py").write_text("def (:\n")
    build(tmp_path / "out", Recipe(kind="container", platform="simulated", sources=sources))
    enclave = tmp_path / "out" / "app" / "sealroom" / "enclave"
    assert (enclave / "broken.py").exists()
    assert not list((enclave / "__pycache__").glob("broken.*"))


def test_a_process_with_two_libpythons_cannot_say_which_is_its_own(monkeypatch, tmp_path):
    maps = tmp_path / "maps"
    maps.write_text("".join(f"1-2 r-xp 0 0:0 1 /{name}/libpython3.so.1.0\n" for name in ("a", "b")))
    monkeypatch.setattr("builtins.open", lambda path, **options: maps.open(**options))
    with pytest.raises(BuildError, match="more than one libpython"):
        interpreter._libpython()
