"""Every call of the gateway, typed; the only way by which a party's program talks to the world.

Runs in: a party.   Believes: nothing that the gateway answers; whoever uses an answer verifies it.   Spec: §8.2.

Fields that are not known are left alone here, unlike in signed documents: what the gateway says is never believed, so
strictness would protect nothing.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Annotated, Any, Literal, Protocol, TypeVar

from sealroom.client.config import Config
from sealroom.client.gateway_log import LogCalls
from sealroom.client.transport import GatewayRefused, Transport, connect
from sealroom.protocol import canonical, envelope, schema, wire
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Malformed
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.schema import Count, Hex32, Int, Many, Name, Time

LIST_MOST = 32 << 20
EVIDENCE_MOST = 2 << 20
MANIFESTS_MOST = 256
RunState = Literal[
    "waiting-for-challenges", "queued", "launching", "waiting-for-grants", "running", "waiting-for-consent",
    "done", "refused", "failed", "expired", "stopped",
]  # fmt: skip
StatementKind = Literal["approval", "revocation", "stop", "log"]
D = TypeVar("D")


class HasGateway(Protocol):
    """What a gateway needs of a home."""

    config: Config

    def signing_key(self) -> SigningKey: ...


@dataclasses.dataclass(frozen=True, slots=True)
class AgreementEntry:
    """One version that the gateway holds."""

    agreement: Hex32
    version: Hex32
    sequence: Annotated[int, Int(1)]


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectState:
    """A sealed object at the gateway: its manifest and the chunks that are not there yet."""

    manifest: Envelope
    missing: Annotated[tuple[Count, ...], Many(0, 1 << 20)]
    complete: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One line of the list of objects."""

    digest: Hex32
    name: Name
    owner: Name
    kind: Literal["bundle", "dataset"]
    complete: bool


@dataclasses.dataclass(frozen=True, slots=True)
class RunEntry:
    """One line of the list of runs."""

    run: Hex32
    state: RunState
    waiting_for: Annotated[tuple[Name, ...], Many(0, 16)]
    created: Time


@dataclasses.dataclass(frozen=True, slots=True)
class RunStatus:
    """What the gateway says about one run; `next_visible` is when results may show, as it says."""

    run: Hex32
    state: RunState
    waiting_for: Annotated[tuple[Name, ...], Many(0, 16)]
    request: Envelope
    version: Hex32
    launched: Time | None
    next_visible: Time | None
    receipt: bool


@dataclasses.dataclass(frozen=True, slots=True)
class OfferEntry:
    """An offer with the digest it goes by."""

    digest: Hex32
    offer: Envelope


class Gateway(LogCalls):
    """One gateway as one party sees it.

    Every method raises Unreachable, NotAuthorized or GatewayRefused as `Transport.call` does, and Malformed.
    """

    def __init__(self, home: HasGateway, *, transport: Transport | None = None) -> None:
        """The gateway that `home` names; the connection is made at the first call."""
        self._transport = transport or connect(home.config, home.signing_key)
        self._manifests: dict[str, Envelope] = {}

    def health(self) -> str:
        """`ok`, if it is."""
        return str(self._json("/health").get("status"))

    def put_agreement(self, agreement: Envelope) -> None:
        """Register a version."""
        self._put(f"/agreements/{agreement.digest}", agreement)

    def agreements(self) -> list[AgreementEntry]:
        """Every version of every agreement that this party is a member of."""
        return _entries(AgreementEntry, self._value("/agreements"))

    def agreement(self, version: str) -> Envelope:
        """One version."""
        return envelope.parse(self._get(f"/agreements/{version}", envelope.MOST_BYTES))

    def post_statement(self, agreement: str, statement: Envelope) -> None:
        """Leave an approval, revocation or stop for all parties of an agreement."""
        self._post(f"/agreements/{agreement}/statements", statement.to_bytes())

    def statements(self, agreement: str, kind: StatementKind) -> list[Envelope]:
        """All statements of one kind, unverified."""
        return _envelopes(self._json(f"/agreements/{agreement}/statements", {"kind": kind}).get("statements"))

    def put_object(self, manifest: Envelope) -> None:
        """Announce a sealed object."""
        self._put(f"/objects/{manifest.digest}", manifest)

    def object_state(self, digest: str) -> ObjectState | None:
        """What is there of an object, or None if it was not announced."""
        value = self._optional(f"/objects/{digest}")
        return None if value is None else _entry(ObjectState, _parsed(value))

    def manifest(self, digest: str) -> Envelope | None:
        """An object's manifest, unverified, or None; asked for once, if it is what the digest names."""
        if digest not in self._manifests:
            state = self.object_state(digest)
            if state is None or state.manifest.digest != digest or len(self._manifests) >= MANIFESTS_MOST:
                return None if state is None else state.manifest
            self._manifests[digest] = state.manifest
        return self._manifests[digest]

    def put_chunk(self, digest: str, index: int, data: bytes) -> None:
        """Send one chunk of ciphertext."""
        self._transport.call("PUT", f"/v1/objects/{digest}/chunks/{index}", data, most=LIST_MOST)

    def objects(self, agreement: str) -> list[ObjectEntry]:
        """Every object of an agreement."""
        return _entries(ObjectEntry, self._json(f"/agreements/{agreement}/objects").get("objects"))

    def post_run(self, request: Envelope) -> RunState:
        """Ask for a run; asking again for the same changes nothing."""
        return _entry(_Posted, _parsed(self._post("/runs", request.to_bytes()))).state

    def runs(self, agreement: str) -> list[RunEntry]:
        """Every run of an agreement."""
        return _entries(RunEntry, self._json("/runs", {"agreement": agreement}).get("runs"))

    def run(self, run: str) -> RunStatus:
        """One run."""
        return _entry(RunStatus, self._value(f"/runs/{run}"))

    def put_challenge(self, run: str, party: str, nonce: str) -> None:
        """Leave this party's nonce (hex) for the enclave to be."""
        body = canonical.encode({"nonce": nonce})
        self._transport.call("PUT", f"/v1/runs/{run}/challenges/{party}", body, most=LIST_MOST)

    def evidence(self, run: str) -> bytes | None:
        """Canonical bytes of the gate's evidence, or None before there is any."""
        return self._optional(f"/runs/{run}/evidence", EVIDENCE_MOST)

    def put_grant(self, run: str, digest: str, grant: Envelope) -> None:
        """Grant the key of the object with this manifest digest."""
        self._put(f"/runs/{run}/grants/{digest}", grant)

    def grants(self, run: str) -> list[Envelope]:
        """All grants of a run, unverified."""
        return _envelopes(self._json(f"/runs/{run}/grants").get("grants"))

    def put_refusal(self, run: str, party: str, refusal: Envelope) -> None:
        """Refuse a run for good."""
        self._put(f"/runs/{run}/refusals/{party}", refusal)

    def refusals(self, run: str) -> list[Envelope]:
        """All refusals of a run, unverified."""
        return _envelopes(self._json(f"/runs/{run}/refusals").get("refusals"))

    def offers(self, run: str) -> list[OfferEntry]:
        """All offers of a run, unverified; none before their slot."""
        return _entries(OfferEntry, self._json(f"/runs/{run}/offers").get("offers"))

    def ciphertext(self, run: str, offer: str, *, most: int) -> bytes:
        """The ciphertext of an offer, at most `most` bytes."""
        return self._get(f"/runs/{run}/offers/{offer}/ciphertext", most)

    def put_consent(self, run: str, offer: str, party: str, consent: Envelope) -> None:
        """Answer an offer."""
        self._put(f"/runs/{run}/offers/{offer}/consents/{party}", consent)

    def consents(self, run: str) -> list[Envelope]:
        """All answers to offers, unverified."""
        return _envelopes(self._json(f"/runs/{run}/consents").get("consents"))

    def receipt(self, run: str) -> Envelope | None:
        """The gate's receipt, unverified, or None before its slot."""
        value = self._optional(f"/runs/{run}/receipt", envelope.MOST_BYTES)
        return None if value is None else envelope.parse(value)

    def put_cosignature(self, run: str, party: str, cosignature: Envelope) -> None:
        """Hold a receipt for final."""
        self._put(f"/runs/{run}/cosignatures/{party}", cosignature)

    def cosignatures(self, run: str) -> list[Envelope]:
        """All cosignatures, unverified."""
        return _envelopes(self._json(f"/runs/{run}/cosignatures").get("cosignatures"))

    def stop_run(self, run: str) -> None:
        """End a run."""
        self._post(f"/runs/{run}/stop", b"")

    def _get(self, path: str, most: int, query: dict[str, str] | None = None) -> bytes:
        return self._transport.call("GET", "/v1" + path, most=most, query=query)

    def _optional(self, path: str, most: int = LIST_MOST) -> bytes | None:
        try:
            return self._get(path, most)
        except GatewayRefused as error:
            if error.status == 404:
                return None
            raise

    def _value(self, path: str, query: dict[str, str] | None = None) -> Any:
        return _parsed(self._get(path, LIST_MOST, query))

    def _json(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        value = self._value(path, query)
        if not isinstance(value, dict):
            raise Malformed("gateway-answer", "the gateway's answer is not a JSON object")
        return value

    def _put(self, path: str, statement: Envelope) -> None:
        self._put_bytes(path, statement.to_bytes())

    def _put_bytes(self, path: str, body: bytes) -> None:
        self._transport.call("PUT", "/v1" + path, body, most=LIST_MOST)

    def _post(self, path: str, body: bytes) -> bytes:
        return self._transport.call("POST", "/v1" + path, body, most=LIST_MOST)


@dataclasses.dataclass(frozen=True, slots=True)
class _Posted:
    run: Hex32
    state: RunState


def _parsed(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise Malformed("gateway-answer", "the gateway's answer is not JSON") from error


def _entry(kind: type[D], value: object) -> D:
    if not isinstance(value, dict):
        raise Malformed("gateway-answer", "the gateway's answer is not a JSON object")
    names = [field.name for field in dataclasses.fields(typing.cast("Any", kind))]
    return schema.decode(kind, {name: value[name] for name in names if name in value}, "gateway")


def _entries(kind: type[D], values: object) -> list[D]:
    if not isinstance(values, list):
        raise Malformed("gateway-answer", "the gateway's answer holds no list")
    return [_entry(kind, value) for value in values]


def _envelopes(values: object) -> list[Envelope]:
    """Envelopes that can be read; a broken one is a broken list, since a gateway takes none."""
    if not isinstance(values, list):
        raise Malformed("gateway-answer", "the gateway's answer holds no list")
    return [envelope.parse(canonical.encode(value)) for value in values]


assert set(typing.get_args(RunState)) == set(wire.RUN_STATES)  # noqa: S101 (a constant of ours, checked at import)
