"""A copy of a container image with one byte of one file changed, as whoever has the engine can make it.

Runs in: the demo.   Believes: nothing.   Source: Docker Engine API.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator

from sealroom.client.demo.props import one_byte_changed

ENGINE_SECONDS = 120


@contextlib.contextmanager
def tampered(engine: str, image: str, victim: str) -> Iterator[str]:
    """The id of the changed image, which is removed when the block ends; `victim` is a path inside."""
    import docker  # noqa: PLC0415 (only operators have the package)

    with contextlib.closing(docker.DockerClient(base_url=engine, timeout=ENGINE_SECONDS)) as client:
        container = client.api.create_container(image, detach=True)["Id"]
        try:
            stream, _ = client.api.get_archive(container, victim)
            folder = victim.rpartition("/")[0]
            client.api.put_archive(container, folder, _changed(b"".join(stream)))
            changed = str(client.api.commit(container)["Id"])
        finally:
            client.api.remove_container(container, force=True)
        try:
            yield changed
        finally:
            client.api.remove_image(changed, force=True)


def _changed(archive: bytes) -> bytes:
    """The same tar of one file with one byte changed; owner and mode stay."""
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=made, mode="w") as new:
        member = old.next()
        source = old.extractfile(member) if member is not None else None
        if member is None or source is None:
            raise FileNotFoundError("the engine hands out no such file")
        new.addfile(member, io.BytesIO(one_byte_changed(source.read())))
    return made.getvalue()
