"""Makes small images by hand: folders, and archives in the form that `docker save` writes."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from sealroom.protocol import canonical

LAUNCH = {
    "format": "sealroom/launch/v1",
    "kind": "process",
    "argv": ["{image}/python/bin/python3", "-I", "-S", "-B", "{image}/app/boot.py", "gate"],
    "env": {"LC_ALL": "C.UTF-8", "SEALROOM_TSM": "tsm/report"},
    "layers": ["jail:seccomp"],
    "user": None,
    "working_dir": None,
}
CONTAINER_LAUNCH = LAUNCH | {
    "kind": "container",
    "argv": ["/usr/local/bin/python3", "-I", "-S", "-B", "{image}/app/boot.py", "gate"],
    "user": "65532:65532",
    "working_dir": "/run/sealroom",
}
SETTINGS = {
    "Env": ["SEALROOM_TSM=tsm/report", "LC_ALL=C.UTF-8"],
    "Entrypoint": ["/usr/local/bin/python3", "-I", "-S", "-B", "/opt/sealroom/app/boot.py", "gate"],
    "User": "65532:65532",
    "WorkingDir": "/run/sealroom",
    "Cmd": None,
    "Labels": {"anything": "harmless"},
    "Hostname": "",
}


def folder(where: Path, **changes: object) -> Path:
    """A process image of a few files."""
    (where / "app").mkdir(parents=True)
    (where / "python" / "bin").mkdir(parents=True)
    (where / "app" / "boot.py").write_text("print('boot')\n")
    (where / "python" / "bin" / "python3").write_bytes(b"\x7fELF...")
    (where / "python" / "bin" / "python").symlink_to("python3")
    (where / "launch.json").write_bytes(canonical.encode(LAUNCH | changes))
    for path in (*where.rglob("*"), where):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return where


@dataclasses.dataclass
class Member:
    """One line of a layer."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644
    mtime: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


def layer(*members: Member) -> bytes:
    """A layer's tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.linkname, info.mode, info.mtime = member.kind, member.link, member.mode, member.mtime
            info.size, info.pax_headers = len(member.data), member.headers
            archive.addfile(info, io.BytesIO(member.data))
    return buffer.getvalue()


def directory(name: str) -> Member:
    return Member(name, kind=tarfile.DIRTYPE, mode=0o755)


def base_layer(mtime: int = 0, **launch: object) -> bytes:
    """A layer with everything that an image needs."""
    files = {
        "opt/sealroom/launch.json": canonical.encode(CONTAINER_LAUNCH | launch),
        "opt/sealroom/app/boot.py": b"print('boot')\n",
        "usr/local/bin/python3": b"\x7fELF...",
        "etc/hostname": b"",
    }
    folders = ["opt", "opt/sealroom", "opt/sealroom/app", "usr", "usr/local", "usr/local/bin", "etc", "dev"]
    folders += ["run", "run/sealroom"]
    members = [directory(name) for name in folders]
    members += [Member(name, data, mtime=mtime) for name, data in files.items()]
    return layer(*members, Member("dev/null", kind=tarfile.CHRTYPE))


def saved(*layers: bytes, settings: object = None, compress: bool = False, **changes: object) -> bytes:
    """A `docker save` stream of one image with these layers."""
    digests = ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers]
    config = {"config": SETTINGS if settings is None else settings, "rootfs": {"type": "layers", "diff_ids": digests}}
    raw = json.dumps(config | changes).encode()
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    files = [(name, gzip.compress(data) if compress else data) for name, data in zip(names, layers, strict=True)]
    files += [("config.json", raw)]
    files += [("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": [], "Layers": names}]).encode())]
    return outer(*files)


def outer(*files: tuple[str, bytes]) -> bytes:
    """A tar file of these files."""
    return layer(*(Member(name, data) for name, data in files))
