"""A receipt with everything that it speaks of, in one file: what anybody needs to check a run without asking anybody.

Runs in: a party, or whoever holds the file.   Believes: nothing.   Spec: §5.9.

Files of version 1 had no proof that the log holds the run. They are read as what they are, and written as they were.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from sealroom.client import files, received
from sealroom.client.gateway import Gateway, StatementKind
from sealroom.client.home import Home
from sealroom.protocol import canonical, merkle, notes, schema
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Malformed, NotGenuine
from sealroom.protocol.schema import Hex32, Int, Many, Text
from sealroom.protocol.statements import Approval, Evidence, Request, Revocation

MOST_BYTES = 64 << 20
FILE = "receipt.json"
FIRST: Final = "sealroom/receipt-bundle/v1"
Envelopes = Annotated[tuple[Envelope, ...], Many(0, 4096)]
NoteText = Annotated[str, Text("[\n -~—]+", notes.MOST_BYTES)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an entry stands in the log, the salt that opens its commitment, and its path to the root."""

    digest: Hex32
    number: Annotated[int, Int(0, merkle.MOST_SIZE)]
    salt: Hex32
    proof: Annotated[tuple[Hex32, ...], Many(0, 48)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LogProof:
    """That a log holds a run's end: its key as the operator named it, a checkpoint, and each entry's place in it."""

    key: Envelope
    checkpoint: NoteText
    entries: Annotated[tuple[Place, ...], Many(1, 8193)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Everything about one run but payloads and ciphertexts. `agreement` is the chain from version 1 to the run's.

    `log` proves that receipt, offers and consents are in the agreement's log; None says nothing about it.
    """

    format: Literal["sealroom/receipt-bundle/v1", "sealroom/receipt-bundle/v2"]
    agreement: Annotated[tuple[Envelope, ...], Many(1, 64)]
    approvals: Envelopes
    revocations: Envelopes
    manifests: Envelopes
    request: Envelope
    evidence: Evidence
    grants: Envelopes
    offers: Envelopes
    consents: Envelopes
    receipt: Envelope
    cosignatures: Envelopes
    log: LogProof | None

    @property
    def run(self) -> str:
        """The run's id."""
        return self.request.digest

    @property
    def evidence_bytes(self) -> bytes:
        """The canonical evidence, as the gate gave it."""
        return canonical.encode(schema.encode(self.evidence))

    def to_bytes(self) -> bytes:
        """The file's content: canonical JSON."""
        value = schema.encode(self)
        if self.format == FIRST:
            del value["log"]
        return canonical.encode(value)


def parse(data: bytes) -> Bundle:
    """Read a bundle strictly; believes nothing in it.

    Raises:
        Malformed: it is none.
    """
    value = canonical.decode(data, most=MOST_BYTES)
    if isinstance(value, dict) and value.get("format") == FIRST:
        if "log" in value:
            raise Malformed("unknown-field", "receipt: version 1 has no field `log`")
        value["log"] = None
    return schema.decode(Bundle, value, "receipt")


def load(path: Path) -> Bundle:
    """The bundle in a file.

    Raises:
        Malformed: it is none.
    """
    return parse(files.read(path, most=MOST_BYTES))


def save(folder: Path, bundle: Bundle) -> Path:
    """Write the bundle; one of the same receipt is replaced, as it may have more consents and cosignatures now.

    Raises:
        Malformed: the folder holds the bundle of another receipt.
    """
    path = folder / FILE
    if path.exists() and load(path).receipt.digest != bundle.receipt.digest:
        raise Malformed("other-receipt", f"{path} holds another receipt of this run",
                        hint="keep both: somebody made a gate sign twice, or the gateway lies")  # fmt: skip
    files.write(path, bundle.to_bytes(), overwrite=True)
    return path


def gather(home: Home, gateway: Gateway, run: str) -> Bundle | None:
    """Everything that the gateway shows of a run, unverified; None before there is a receipt.

    Raises:
        NotGenuine: it shows another run under this run's name.
    """
    status = gateway.run(run)
    if status.request.digest != run:  # all that follows hangs from the request, and would hold for the other run
        raise NotGenuine("other-run", "the gateway shows another request under this run's name")
    receipt, evidence = gateway.receipt(run), gateway.evidence(run)
    if receipt is None or evidence is None:
        return None
    asked = envelopes.unverified(status.request, Request)
    manifests = [gateway.manifest(digest) for digest in asked.objects.values()]
    return Bundle(
        format="sealroom/receipt-bundle/v2",
        agreement=_chain(home, asked.agreement, asked.version),
        approvals=_statements(home, gateway, asked.agreement, "approval", Approval),
        revocations=_statements(home, gateway, asked.agreement, "revocation", Revocation),
        manifests=ordered([manifest for manifest in manifests if manifest is not None]),
        request=status.request,
        evidence=schema.decode(Evidence, canonical.decode(evidence, most=MOST_BYTES)),
        grants=ordered(gateway.grants(run)),
        offers=ordered([entry.offer for entry in gateway.offers(run)]),
        consents=ordered(gateway.consents(run)),
        receipt=receipt,
        cosignatures=ordered(gateway.cosignatures(run)),
        log=None,
    )


def _statements(
    home: Home, gateway: Gateway, agreement: str, kind: StatementKind, document: type
) -> tuple[Envelope, ...]:
    """What the gateway lists, and what came to this home as files; `proving.complete` adds what the log holds."""
    media = envelopes.media_type(document)
    came = [e for e in received.kept(home, agreement) if e.payloadType == media]
    return ordered([*gateway.statements(agreement, kind), *came])


def _chain(home: Home, agreement: str, version: str) -> tuple[Envelope, ...]:
    """The pinned chain up to `version`; all of it, if that version is not pinned here."""
    chain: list[Envelope] = []
    for link in home.versions(agreement):
        chain.append(link)
        if link.digest == version:
            break
    return tuple(chain)


def ordered(statements: Sequence[Envelope]) -> tuple[Envelope, ...]:
    """Each statement once, by digest."""
    return tuple(by for _, by in sorted({statement.digest: statement for statement in statements}.items()))
