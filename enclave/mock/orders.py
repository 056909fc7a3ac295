"""What the author's client asks of a mock run.

Runs in: an author's machine.   Believes: nothing; it is decoded like a stranger's.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import os
from typing import Annotated, Literal

from sealroom.enclave import memory
from sealroom.protocol import bundle, consistency, schema
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.errors import Malformed
from sealroom.protocol.schema import Int, Name, Text

MOST_BYTES = 64 << 20
_Archive = Annotated[str, Text(r"[A-Za-z0-9+/=]*", MOST_BYTES)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An agreement, the name that it gives the bundle, the bundle's archive in base64, how many rows to make up."""

    format: Literal["sealroom/mock/v1"]
    agreement: Agreement
    bundle: Name
    archive: _Archive
    rows: Annotated[int, Int(20, 1_000_000)]
    seed: Annotated[int, Int(0, 2**31 - 1)]

    def code(self) -> bytes:
        """The archive, read once to be sure that it is one.

        Raises:
            Malformed: it is not.
        """
        try:
            data = base64.b64decode(self.archive, validate=True)
        except binascii.Error as error:
            raise Malformed("not-base64", "the archive is not base64") from error
        bundle.read(data)
        return data


def read(fd: int) -> Order:
    """The order in a memory file.

    Raises:
        Malformed: it is none, or its agreement contradicts itself.
    """
    if os.fstat(fd).st_size > MOST_BYTES:
        raise Malformed("too-large", "the order is too large")
    try:
        value = json.loads(bytes(memory.map_readonly(fd)))
    except (ValueError, RecursionError) as error:
        raise Malformed("not-json", "the order is not JSON") from error
    order = schema.decode(Order, value)
    consistency.check(order.agreement)
    return order
