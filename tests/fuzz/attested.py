"""Targets: reports, certificates, revocation lists, evidence, and images as `docker save` writes them."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import tarfile

from sealroom.attestation import appraisal, der
from sealroom.attestation.evidence import SnpEvidence
from sealroom.attestation.measurement import image_archive
from sealroom.attestation.snp import abi, cert_table, certificates, revocation, tcb
from sealroom.protocol import canonical, schema
from sealroom.protocol.errors import Refused
from sealroom.protocol.keys import from_text
from sealroom.protocol.platform import simulated_policy
from tests.fuzz import seeds
from tests.fuzz.target import Check, Target, round_trip, taken


def _tcb() -> Check:
    def check(data: bytes) -> bool:
        raw_tcb = data[:8].ljust(8, b"\0")  # a report gives it eight bytes
        held = False
        for family in ("milan", "genoa", "turin"):
            one, found = taken(lambda raw, f=family: tcb.parse(raw, f), raw_tcb)
            assert not one or tcb.serialise(found, family) == raw_tcb, "a second spelling was taken"
            held = held or one
        return held

    return check


def _table() -> Check:
    def check(data: bytes) -> bool:
        held, found = taken(cert_table.parse, data)
        if held:
            assert sum(map(len, found.values())) <= len(data), "entries overlap"
            assert all(found.values())
            assert cert_table.parse(cert_table.serialise(found)) == found
        return held

    return check


def _der() -> Check:
    """Walk whatever there is, as the readers of certificates do."""

    def walk(data: bytes, depth: int) -> None:
        reader = der.Reader(data)
        while (tag := reader.peek()) is not None:
            element = reader.element(tag)
            assert element.raw.endswith(element.content)
            _read_all(element)
            if tag & 0x20 and depth < 20:
                walk(element.content, depth + 1)
        reader.end()

    def check(data: bytes) -> bool:
        return taken(lambda raw: walk(raw, 0), data)[0]

    return check


def _read_all(element: der.Element) -> None:
    reads = {
        der.INTEGER: der.integer, der.BOOLEAN: der.boolean, der.BIT_STRING: der.octets, der.OID: der.oid,
    }  # fmt: skip
    if element.tag in reads:
        reads[element.tag](element.content)
    if element.tag in (der.UTF8_STRING, der.PRINTABLE_STRING, der.IA5_STRING):
        assert der.text(element).isprintable()
    if element.tag in (der.UTC_TIME, der.GENERALIZED_TIME):
        assert der.moment(der.Reader(element.raw)) < 2**38


def _certificate() -> Check:
    def decode(data: bytes) -> None:
        found = certificates.parse.__wrapped__(data)
        certificates.authority(found)
        certificates.endorsement(found)
        certificates.endorsement_key(found)

    def check(data: bytes) -> bool:
        found = None
        try:
            found = certificates.parse.__wrapped__(data)
        except Refused:
            return False
        assert found.tbs in data
        taken(decode, data)
        taken(lambda raw: certificates.verify_signature(found, signature=found.signature, over=raw), found.tbs)
        return True

    return check


def _evidence() -> Check:
    """Input: the platform's evidence; under a policy that names one root, at one time, for one report."""
    good = seeds.platform_evidence()
    policy = simulated_policy(seeds.processor().root)
    named = dataclasses.asdict(good)

    def decode(data: bytes) -> SnpEvidence:
        evidence = schema.decode(SnpEvidence, canonical.decode(data, most=1 << 20))
        appraisal.appraise(
            evidence,
            policy=appraisal.policy_for(evidence, (policy,)),
            measurements=frozenset({seeds.MEASUREMENT}),
            host_data="any",
            report_data=seeds.REPORT_DATA,
            now=seeds.NOW,
            seen=frozenset(),
        )
        return evidence

    def check(data: bytes) -> bool:
        held, found = taken(decode, data)
        assert not held or dataclasses.asdict(found) == named or _same_statement(found, good), "forged evidence"
        return held

    return check


def _same_statement(one: SnpEvidence, other: SnpEvidence) -> bool:
    """Whether two accepted documents hold the same signed bytes; what was never required may be missing."""
    parts = ("vek", "intermediate", "root", "host_data_preimage")
    equal = all(getattr(one, part) == getattr(other, part) for part in parts)
    return equal and from_text(one.report)[: abi.SIGNED] == from_text(other.report)[: abi.SIGNED]


def _image() -> Check:
    def check(data: bytes) -> bool:
        held, found = taken(lambda raw: image_archive.read(io.BytesIO(raw)), data)
        assert not held or found.id.startswith("sha256:")
        return held

    return check


def _tar(files: list[tuple[str, bytes]], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), kind
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _images() -> list[bytes]:
    made = []
    for compress in (False, True):
        layers = [_tar([("opt/sealroom/launch.json", b"{}"), ("usr/a", b"x")]), _tar([("usr/.wh.a", b"")])]
        digests = ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers]
        config = json.dumps({"config": {}, "rootfs": {"type": "layers", "diff_ids": digests}}).encode()
        files = [(f"{i}/layer.tar", gzip.compress(d) if compress else d) for i, d in enumerate(layers)]
        names = [name for name, _ in files]
        manifest = json.dumps([{"Config": "config.json", "RepoTags": [], "Layers": names}]).encode()
        # Tar files end in 10 KiB of padding, which is not worth a fuzzer's time.
        made.append(_tar([*files, ("config.json", config), ("manifest.json", manifest)]))
    return made


def _report() -> bytes:
    return from_text(seeds.platform_evidence().report)


def _evidences() -> list[bytes]:
    good = seeds.platform_evidence()
    return [canonical.encode(schema.encode(dataclasses.replace(good, **changes))) for changes in ({}, {"crl": None})]


def _pieces() -> list[bytes]:
    return [*seeds.certificates(), bytes.fromhex("300a0c03416263170030000500"), b"\x06\x03\x55\x04\x03"]


TARGETS = (
    Target(
        name="snp-report", decoder="attestation/snp/abi.py parse", law="serialises to the same bytes",
        prepare=round_trip(abi.parse, abi.serialise), seeds=lambda: [_report()], most=abi.SIZE + 8,
    ),
    Target(
        name="snp-tcb", decoder="attestation/snp/tcb.py parse", law="serialises to the same bytes", prepare=_tcb,
        seeds=lambda: [_report()[0x38:0x40], bytes(8)], most=16,
    ),
    Target(
        name="cert-table", decoder="attestation/snp/cert_table.py parse", law="entries lie apart, inside the table",
        prepare=_table, most=1 << 14,
        seeds=lambda: [seeds.table(), cert_table.serialise({cert_table.VCEK: b"v", cert_table.CRL: b"c"})],
    ),
    Target(
        name="der", decoder="attestation/der.py", law="elements lie inside what holds them", prepare=_der, shape="der",
        seeds=_pieces,
    ),
    Target(
        name="certificate", decoder="attestation/snp/certificates.py parse", law="signed bytes are part of the input",
        prepare=_certificate, shape="der", seeds=seeds.certificates,
    ),
    Target(
        name="revocation-list", decoder="attestation/snp/revocation.py parse", law="times and serials are numbers",
        prepare=lambda: lambda data: taken(revocation.parse, data)[0], shape="der",
        seeds=lambda: [seeds.revocation_list()],
    ),
    Target(
        name="platform-evidence", decoder="attestation/evidence.py and appraisal.py", prepare=_evidence, shape="json",
        law="accepted only with the genuine report and chain", seeds=_evidences, most=1 << 14,
    ),
    Target(
        name="image-archive", decoder="attestation/measurement/image_archive.py read", prepare=_image, most=1 << 16,
        law="names the settings by digest", seeds=_images,
    ),
)  # fmt: skip
