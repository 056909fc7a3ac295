"""Measurement: the same image gives the same number everywhere, and any change to it another."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import tarfile
import time
from pathlib import Path

import pytest

from sealroom.attestation.measurement import image_archive, launch, tree
from sealroom.attestation.measurement.measure import check_settings, difference, measure, measure_archive
from sealroom.attestation.measurement.tree import Entry
from sealroom.protocol import canonical
from sealroom.protocol.errors import Malformed, NotAcceptable
from tests.attestation import images

Member = images.Member


def archive(*layers: bytes, **options):
    return measure_archive(io.BytesIO(images.saved(*layers, **options)))


# Trees.


def leaf_entry(number: int) -> Entry:
    return Entry(f"{number:04}", "file", 0o644, "", number, hashlib.sha256(bytes([number])).hexdigest())


def split(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1 as it is written there: split at the largest power of two below the count."""
    if len(leaves) == 1:
        return leaves[0]
    at = 1
    while at * 2 < len(leaves):
        at *= 2
    return hashlib.sha256(b"\1" + split(leaves[:at]) + split(leaves[at:])).digest()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33, 100])
def test_the_root_is_the_merkle_tree_hash_of_rfc_6962(count):
    entries = [leaf_entry(number) for number in range(count)]
    assert tree.root(reversed(entries)) == split([entry.leaf() for entry in entries]).hex()


def test_a_tree_without_entries_or_with_one_path_twice_is_refused():
    with pytest.raises(Malformed) as caught:
        tree.root([])
    assert caught.value.code == "E1.tree-size"
    with pytest.raises(Malformed) as caught:
        tree.root([leaf_entry(1), leaf_entry(1)])
    assert caught.value.code == "E1.tree-repeats"


def test_a_known_image_keeps_its_number(tmp_path):
    """Owners approve this number: if it changes for the same bytes, every approval is void."""
    assert measure(images.folder(tmp_path / "image")).value == (
        "b4dca6e8881724135c8028b3a31994c3a093b99a89cd81d16de582fdef86e48ac240984afcd1f696ef745bfaae009b88"
    )
    assert archive(images.base_layer()).value == (
        "4736301b0e9d5d1ee5d16db16712d29dd0b2004522bd9bda154b1f90f1b4d86cccfcd33a8447a3f7fb5f0f8f81174b18"
    )


# Folders.


def test_the_same_folder_elsewhere_has_the_same_measurement(tmp_path):
    one = measure(images.folder(tmp_path / "one"))
    other = images.folder(tmp_path / "deep" / "other")
    os.utime(other / "app" / "boot.py", (1, 1))
    assert measure(other) == one
    assert difference(one, measure(other)) == []


CHANGES = {
    "one byte of a program": lambda p: (p / "app" / "boot.py").write_text("print('Boot')\n"),
    "a new file": lambda p: (p / "app" / "sitecustomize.py").touch(),
    "a new pth file": lambda p: (p / "python" / "bin" / "x.pth").touch(),
    "an empty folder": lambda p: (p / "app" / "empty").mkdir(),
    "a missing file": lambda p: (p / "app" / "boot.py").unlink(),
    "a mode": lambda p: (p / "app" / "boot.py").chmod(0o755),
    "the mode of a folder": lambda p: (p / "app").chmod(0o700),
    "a link to elsewhere": lambda p: relink(p / "python" / "bin" / "python", "../../app/boot.py"),
    "a link in place of a file": lambda p: relink(p / "app" / "boot.py", "../launch.json"),
    "the environment": lambda p: relaunch(p, env={"LC_ALL": "C.UTF-8", "LD_PRELOAD": "/tmp/evil.so"}),
    "a required layer": lambda p: relaunch(p, layers=["jail:limits"]),
    "an argument": lambda p: relaunch(p, argv=["{image}/python/bin/python3", "{image}/app/boot.py", "gate"]),
}


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def relaunch(image: Path, **changes) -> None:
    (image / "launch.json").write_bytes(canonical.encode(images.LAUNCH | changes))


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_to_an_image_changes_its_measurement(tmp_path, change):
    before = measure(images.folder(tmp_path / "image"))
    CHANGES[change](tmp_path / "image")
    after = measure(tmp_path / "image")
    assert after.value != before.value
    assert difference(before, after) != []


def test_the_difference_names_what_changed(tmp_path):
    before = measure(images.folder(tmp_path / "image"))
    (tmp_path / "image" / "app" / "boot.py").write_text("longer than it was\n")
    (tmp_path / "image" / "app" / "new").touch()
    (tmp_path / "image" / "python" / "bin" / "python").unlink()
    relaunch(tmp_path / "image", layers=["jail:limits"])
    assert difference(before, measure(tmp_path / "image")) == [
        "changed: what is started (launch.json)",
        "changed: app/boot.py (size, content)",
        "added: app/new",
        "changed: launch.json (size, content)",
        "removed: python/bin/python",
    ]


def test_a_cache_gives_the_same_answer_and_notices_a_change(tmp_path):
    cache: tree.DigestCache = {}
    image = images.folder(tmp_path / "image")
    fresh = measure(image)
    assert measure(image, cache=cache) == fresh
    assert len(cache) == 3
    assert measure(image, cache=cache) == fresh
    (image / "app" / "boot.py").write_text("print('Boot')\n")
    assert measure(image, cache=cache).value != fresh.value


def test_a_measurement_says_what_it_covers_and_what_it_leaves_out(tmp_path):
    found = measure(images.folder(tmp_path / "image"))
    assert "7 entries" in found.covers[0]
    assert any("libc" in words for words in found.leaves_out)
    assert any("kernel" in words for words in found.leaves_out)
    assert any("owner" in words for words in archive(images.base_layer()).covers)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "../../..", "up/.."])
def test_a_link_that_leads_out_of_a_folder_is_refused(tmp_path, target):
    image = images.folder(tmp_path / "image")
    (image / "app" / "up").symlink_to("..")
    (image / "app" / "link").symlink_to(target)
    with pytest.raises(Malformed) as caught:
        measure(image)
    assert caught.value.code == "E1.tree-link"


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_folder_with_a_special_file_is_refused(tmp_path, kind, monkeypatch):
    image = images.folder(tmp_path / "image")
    monkeypatch.chdir(image)
    if kind == "pipe":
        os.mkfifo("app/special")
    else:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind("app/special")
    with pytest.raises(Malformed) as caught:
        measure(image)
    assert caught.value.code == "E1.tree-special"


def test_a_file_with_capabilities_is_refused(tmp_path, monkeypatch):
    image = images.folder(tmp_path / "image")
    monkeypatch.setattr(os, "listxattr", lambda fd: ["security.capability"])
    with pytest.raises(Malformed) as caught:
        measure(image)
    assert caught.value.code == "E1.tree-special"


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    image = images.folder(tmp_path / "image")
    genuine = hashlib.file_digest

    def slow(source, name):
        with (image / "app" / "boot.py").open("a") as file:
            file.write("print('changed meanwhile')\n")
        return genuine(source, name)

    monkeypatch.setattr(hashlib, "file_digest", slow)
    with pytest.raises(Malformed) as caught:
        measure(image)
    assert caught.value.code == "E1.tree-changing"


def test_a_file_that_is_linked_while_it_is_read_measures_the_same(tmp_path, monkeypatch):
    image = images.folder(tmp_path / "image")
    before = measure(image).value
    genuine, links = hashlib.file_digest, []
    number = (image / "app" / "boot.py").stat().st_ino

    def slow(source, name):
        if os.fstat(source.fileno()).st_ino == number and len(links) < tree._READS - 1:
            links.append(tmp_path / f"link-{len(links)}")
            time.sleep(0.02)  # longer than the tick in which file systems count
            links[-1].hardlink_to(image / "app" / "boot.py")
        return genuine(source, name)

    monkeypatch.setattr(hashlib, "file_digest", slow)
    assert measure(image).value == before
    assert len(links) == tree._READS - 1


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    image = images.folder(tmp_path / "image")
    try:
        with open(os.fsencode(image) + b"/app/\xff", "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    with pytest.raises(Malformed) as caught:
        measure(image)
    assert caught.value.code == "E1.tree-name"


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    image = images.folder(tmp_path / "image")
    monkeypatch.setattr(tree, "MOST_ENTRIES", 3)
    with pytest.raises(Malformed) as caught:
        measure(image)
    assert caught.value.code == "E1.tree-size"


def test_a_folder_without_a_launch_specification_is_no_image(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Malformed) as caught:
        measure(tmp_path)
    assert caught.value.code == "E1.no-launch-spec"


def test_a_launch_specification_that_changes_while_the_folder_is_read_is_refused(tmp_path, monkeypatch):
    image = images.folder(tmp_path / "image")
    genuine = tree.folder

    def slow(path, *, cache):
        found = genuine(path, cache=cache)
        relaunch(image, env={})
        return found

    monkeypatch.setattr(tree, "folder", slow)
    with pytest.raises(Malformed) as caught:
        measure(image)
    assert caught.value.code == "E1.tree-changing"


# Launch specifications.


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"surplus": 1}, "E1.unknown-field"),
        ({"format": "sealroom/launch/v2"}, "E1.not-allowed"),
        ({"layers": []}, "E1.bad-length"),
        ({"env": {"lower": "x"}}, "E1.bad-text"),
        ({"env": {"A": "x{image}"}}, "E1.launch-word"),
        ({"argv": ["{image}/../python3"]}, "E1.launch-word"),
        ({"argv": ["/usr/bin/python3"]}, "E1.launch-program"),
        ({"kind": "container"}, "E1.launch-program"),
        ({"user": "0:0"}, "E1.launch-kind"),
    ],
)
def test_a_launch_specification_that_is_not_exact_is_refused(changes, code):
    with pytest.raises(Malformed) as caught:
        launch.parse(canonical.encode(images.LAUNCH | changes))
    assert caught.value.code == code


def test_a_launch_specification_in_another_spelling_is_refused():
    with pytest.raises(Malformed) as caught:
        launch.parse(json.dumps(images.LAUNCH, indent=1).encode())
    assert caught.value.code == "E1.not-canonical"


def test_the_image_folder_stands_for_its_mark():
    spec = launch.parse(canonical.encode(images.LAUNCH | {"env": {"HOME": "{image}", "A": "b"}}))
    assert spec.arguments("/x")[0] == "/x/python/bin/python3"
    assert spec.environment("/x") == {"HOME": "/x", "A": "b"}


def test_an_image_of_the_other_kind_is_refused(tmp_path):
    image = images.folder(tmp_path / "image")
    (image / "launch.json").write_bytes(canonical.encode(images.CONTAINER_LAUNCH))
    with pytest.raises(Malformed) as caught:
        measure(image)
    assert caught.value.code == "E1.launch-kind"


# Container images.


def test_two_builds_that_differ_in_times_compression_and_engine_files_measure_the_same(tmp_path):
    one = archive(images.base_layer())
    engine = images.layer(Member("etc/hosts", b"127.0.0.1"), Member("etc/resolv.conf"), Member("proc/x", b"y"))
    other = archive(images.base_layer(mtime=12345), engine, compress=True)
    assert one.value == other.value
    assert one.image_id != other.image_id
    (tmp_path / "image.tar").write_bytes(images.saved(images.base_layer()))
    assert measure(tmp_path / "image.tar") == one


@pytest.mark.parametrize(
    "members",
    [
        [Member("opt/sealroom/app/boot.py", b"print('Boot')\n")],
        [Member("opt/sealroom/app/boot.py", b"print('boot')\n", mode=0o755)],
        [Member("opt/sealroom/app/sitecustomize.py")],
        [Member("opt/sealroom/app/.wh.boot.py")],
        [Member("opt/sealroom/app/.wh..wh..opq")],
        [Member("opt/.wh.sealroom"), Member("opt/sealroom/launch.json", canonical.encode(images.CONTAINER_LAUNCH))],
        [Member("opt/sealroom/app", b"a file now")],
        [Member("usr/local/bin/python3", kind=tarfile.LNKTYPE, link="opt/sealroom/app/boot.py")],
        [Member("usr/local/bin/python3", kind=tarfile.SYMTYPE, link="python3.11")],
    ],
    ids=["content", "mode", "new", "whiteout", "opaque", "whiteout-and-again", "file-for-folder", "hard-link", "link"],
)
def test_any_change_by_a_later_layer_changes_the_measurement(members):
    before = archive(images.base_layer())
    after = archive(images.base_layer(), images.layer(*members))
    assert after.value != before.value
    assert difference(before, after) != []


def test_what_a_layer_adds_and_the_next_removes_leaves_no_trace():
    added = images.layer(images.directory("tmp"), Member("tmp/x", b"1"), Member("opt/y", b"2"))
    gone = images.layer(Member(".wh.tmp"), Member("opt/.wh.y"))
    assert archive(images.base_layer(), added, gone).value == archive(images.base_layer()).value


def test_an_opaque_mark_hides_only_what_is_below_its_layer():
    again = images.layer(
        Member("opt/sealroom/app/boot.py", b"print('boot')\n"), Member("opt/sealroom/app/.wh..wh..opq")
    )
    assert archive(images.base_layer(), again).value == archive(images.base_layer()).value


@pytest.mark.parametrize(
    ("member", "code"),
    [
        (Member("opt/pipe", kind=tarfile.FIFOTYPE), "E1.tree-special"),
        (Member("opt/device", kind=tarfile.BLKTYPE), "E1.tree-special"),
        (Member("opt/x", headers={"SCHILY.xattr.security.capability": "x"}), "E1.tree-special"),
        (Member("opt/x", kind=tarfile.LNKTYPE, link="opt/nothing"), "E1.image-layers"),
        (Member("opt/x", kind=tarfile.LNKTYPE, link="opt/sealroom"), "E1.image-layers"),
        (Member("usr/local/bin/python3/x"), "E1.image-layers"),
    ],
)
def test_a_layer_with_what_no_image_may_hold_is_refused(member, code):
    with pytest.raises(Malformed) as caught:
        archive(images.base_layer(), images.layer(member))
    assert caught.value.code == code


def manifest(*names: str, config: str = "config.json") -> tuple[str, bytes]:
    return "manifest.json", json.dumps([{"Config": config, "Layers": list(names)}]).encode()


BASE = images.base_layer()
CONFIG = json.dumps({"config": {}, "rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(BASE).hexdigest()]}}).encode()
BROKEN = {
    "nothing": (b"", "E1.image-archive"),
    "no tar file": (b"x" * 10240, "E1.image-archive"),
    "cut short": (images.saved(BASE)[:2048], "E1.image-archive"),
    "no manifest": (images.outer(("a", BASE)), "E1.image-archive"),
    "manifest is not JSON": (images.outer(("manifest.json", b"{")), "E1.image-archive"),
    "manifest is no list": (images.outer(("manifest.json", b"{}")), "E1.image-archive"),
    "two images": (images.outer(("manifest.json", b"[{}, {}]")), "E1.image-archive"),
    "no settings": (images.outer(("a", BASE), manifest("a")), "E1.image-archive"),
    "a layer is missing": (images.outer(("config.json", CONFIG), manifest("a")), "E1.image-layers"),
    "no layers": (images.outer(("config.json", CONFIG), manifest()), "E1.image-layers"),
    "another layer": (
        images.outer(("a", images.layer(Member("x"))), ("config.json", CONFIG), manifest("a")),
        "E1.image-layers",
    ),
    "settings without layers": (
        images.outer(("a", BASE), ("config.json", b"{}"), manifest("a")),
        "E1.image-layers",
    ),
    "no launch specification": (images.saved(images.layer(Member("x"))), "E1.no-launch-spec"),
    "launch specification of a process": (
        images.saved(images.layer(Member("opt/sealroom/launch.json", canonical.encode(images.LAUNCH)))),
        "E1.launch-kind",
    ),
    "a name that is not UTF-8": (
        images.saved(images.layer(Member("opt/name")).replace(b"opt/name", b"opt/nam\xff")),
        "E1.image-archive",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_docker_save_does_not_write_is_refused(case):
    data, code = BROKEN[case]
    with pytest.raises(Malformed) as caught:
        measure_archive(io.BytesIO(data))
    assert caught.value.code == code


def test_a_layer_that_the_engine_stores_once_and_links_to_is_read():
    digest = "sha256:" + hashlib.sha256(BASE).hexdigest()
    config = json.dumps({"config": images.SETTINGS, "rootfs": {"diff_ids": [digest, digest]}}).encode()
    data = images.layer(
        Member("a/layer.tar", BASE),
        Member("b/layer.tar", kind=tarfile.SYMTYPE, link="../a/layer.tar"),
        Member("config.json", config),
        Member(manifest("a/layer.tar", "b/layer.tar")[0], manifest("a/layer.tar", "b/layer.tar")[1]),
    )
    assert measure_archive(io.BytesIO(data)).value == archive(BASE).value


def test_an_archive_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(image_archive, "MOST_BYTES", 1000)
    with pytest.raises(Malformed) as caught:
        archive(BASE)
    assert caught.value.code == "E1.too-large"
    monkeypatch.undo()
    monkeypatch.setattr(image_archive, "MOST_ENTRIES", 3)
    with pytest.raises(Malformed) as caught:
        archive(BASE)
    assert caught.value.code == "E1.tree-size"
    monkeypatch.undo()
    monkeypatch.setattr(image_archive, "MOST_MEMBERS", 1)
    with pytest.raises(Malformed) as caught:
        archive(BASE)
    assert caught.value.code == "E1.image-archive"


@pytest.mark.parametrize(
    "changes",
    [
        {"Env": []},
        {"Env": ["SEALROOM_TSM=tsm/report", "LC_ALL=C.UTF-8", "LD_PRELOAD=/evil.so"]},
        {"Entrypoint": ["/bin/sh"]},
        {"Entrypoint": None},
        {"User": ""},
        {"WorkingDir": "/"},
        {"Cmd": ["--surprise"]},
        {"Volumes": {"/data": {}}},
        {"Healthcheck": {"Test": ["CMD", "true"]}},
    ],
)
def test_settings_that_differ_from_the_launch_specification_are_refused(changes):
    with pytest.raises(NotAcceptable) as caught:
        archive(BASE, settings=images.SETTINGS | changes)
    assert caught.value.code == "E3.image-settings"


def test_an_image_without_settings_is_refused():
    with pytest.raises(NotAcceptable) as caught:
        archive(BASE, settings="none")
    assert caught.value.code == "E3.image-settings"


def test_settings_in_another_order_are_the_same():
    check_settings(
        images.SETTINGS | {"Env": sorted(images.SETTINGS["Env"])},
        launch.parse(canonical.encode(images.CONTAINER_LAUNCH)),
    )
