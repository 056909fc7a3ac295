"""Appraising evidence and reading a signed agreement, against the bare signature verifications that they contain."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from bench.timing import Goal, Pair
from sealroom.attestation.snp import abi
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Agreement
from tests.attestation.conftest import Lab
from tests.parties import Member, agreement_json, sign_agreement


def pairs(*, small: bool) -> Iterator[Pair]:
    yield _appraisal(5 if small else 50)
    yield _agreement(5 if small else 200)


def _appraisal(times: int) -> Pair:
    lab = Lab()
    evidence = lab.evidence()
    root, vek = (x509.load_der_x509_certificate(der) for der in (lab.root, lab.good_vek("genoa", "vcek")))
    intermediate, listed = x509.load_der_x509_certificate(lab.intermediate), x509.load_der_x509_crl(lab.crl)
    signer, key = root.public_key(), vek.public_key()
    assert isinstance(signer, rsa.RSAPublicKey)  # noqa: S101
    assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101
    report = lab.parts()["report"] or b""
    signature = encode_dss_signature(*abi.parse(report).signature)
    scheme = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
    made = [(item.signature, item.tbs_certificate_bytes) for item in (root, intermediate, vek)]
    made.append((listed.signature, listed.tbs_certlist_bytes))

    def bare() -> None:
        for by, over in made:
            signer.verify(by, over, scheme, hashes.SHA384())
        key.verify(signature, report[: abi.SIGNED], ec.ECDSA(hashes.SHA384()))

    return Pair(
        name="appraise", ours="appraise an SEV-SNP report, chain and revocation list",
        bare="4 RSA-4096 and 1 P-384 verifications", run_ours=lambda: lab.appraise(evidence), run_bare=bare,
        times=times, goal=Goal(seconds=0.005),
    )  # fmt: skip


def _agreement(times: int) -> Pair:
    members = {name: Member.make(name) for name in ("bank", "partner", "operator")}
    _, signed = sign_agreement(members, agreement_json(members))
    data = signed.to_bytes()
    keys = {name: member.signing.public for name, member in members.items()}
    message = envelopes.pre_authentication_encoding(signed.payloadType, signed.unverified_payload)
    checks: list[Callable[[], None]] = []
    for signature in signed.signatures:
        raw = next(key.raw for key in keys.values() if key.text == signature.keyid)
        checks.append(_check(Ed25519PublicKey.from_public_bytes(raw), base64.b64decode(signature.sig), message))

    def bare() -> None:
        for check in checks:
            check()

    return Pair(
        name="agreement", ours=f"decode and verify a signed agreement of {len(data)} bytes",
        bare=f"{len(checks)} Ed25519 verifications, keys loaded",
        run_ours=lambda: envelopes.verify(envelopes.parse(data), Agreement, keys), run_bare=bare, times=times,
    )  # fmt: skip


def _check(key: Ed25519PublicKey, signature: bytes, message: bytes) -> Callable[[], None]:
    return lambda: key.verify(signature, message)
