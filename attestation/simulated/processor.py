"""The simulated processor itself: keys made for one installation, kept in its folder, and reports signed with them.

Runs in: the operator's machine, outside the enclave.   Believes: the launcher beside it.   Spec: §6.6.

Whoever can read the folder can forge every report. That is what `simulated` means.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

from sealroom.attestation.simulated import certificates
from sealroom.attestation.simulated.words import CHIP_PREFIX, FAMILY_ID
from sealroom.attestation.snp import abi, cert_table, tcb
from sealroom.protocol import canonical, schema
from sealroom.protocol.errors import NotAcceptable, UsageError
from sealroom.protocol.platform import SnpTcb

TCB = SnpTcb(fmc=0, bootloader=4, tee=0, snp=24, microcode=219)
FIRMWARE = abi.Firmware(major=1, minor=55, build=40)
# ABI 0.0, SMT allowed; SMT on, ECC on, memory aliases checked.
POLICY, PLATFORM_INFO = 0x30000, 0x25
_CRL_AGE = 86400
_STATE = "processor.json"


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """Private keys of root, intermediate and endorsement certificate."""

    root: rsa.RSAPrivateKey
    intermediate: rsa.RSAPrivateKey
    vcek: ec.EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> Keys:
        """New keys; the two of 4096 bits take seconds."""
        first, second = (rsa.generate_private_key(public_exponent=65537, key_size=4096) for _ in range(2))
        return cls(first, second, ec.generate_private_key(ec.SECP384R1()))


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What is kept beside the keys; `chip_id` is 64 bytes as hex."""

    format: str
    instance: str
    chip_id: str


class Processor:
    """An opened processor. `root` is the SHA-256 of its root certificate, which owners name in their policies."""

    def __init__(self, keys: Keys, state: State, chain: dict[str, bytes]) -> None:
        """Use `create` or `load`; `chain` holds DER by the names root, intermediate and vcek."""
        self._keys, self._state, self._chain = keys, state, chain
        self._crl: tuple[int, bytes] | None = None

    @property
    def root_certificate(self) -> bytes:
        """The root (DER)."""
        return self._chain["root"]

    @property
    def root(self) -> str:
        """The root's fingerprint."""
        return hashlib.sha256(self.root_certificate).hexdigest()

    @property
    def chip_id(self) -> str:
        """The chip's id: 64 bytes as hex."""
        return self._state.chip_id

    def certificate_table(self, now: int) -> bytes:
        """What a host puts beside each report: the chain, and a revocation list that is at most a day old at `now`."""
        if self._crl is None or not 0 <= now - self._crl[0] < _CRL_AGE:
            self._crl = now, certificates.revocation_list(self._state.instance, now, self._keys.root)
        return cert_table.serialise(
            {
                cert_table.VCEK: self._chain["vcek"],
                cert_table.ASK: self._chain["intermediate"],
                cert_table.ARK: self._chain["root"],
                cert_table.CRL: self._crl[1],
            }
        )

    def report(self, *, report_data: bytes, measurement: str, host_data: str, report_id: bytes) -> bytes:
        """A signed report: 1184 bytes, version 5, in the Milan layout. Digests are hex; `report_id` has 32 bytes."""
        version = tcb.serialise(TCB, "milan")
        unsigned = abi.Report(
            version=5,
            guest_svn=0,
            policy=POLICY,
            family_id=FAMILY_ID,
            image_id=bytes(16),
            vmpl=0,
            signature_algorithm=abi.ECDSA_P384_SHA384,
            current_tcb=version,
            platform_info=PLATFORM_INFO,
            key_word=0,
            report_data=report_data,
            measurement=bytes.fromhex(measurement),
            host_data=bytes.fromhex(host_data),
            id_key_digest=bytes(48),
            author_key_digest=bytes(48),
            report_id=report_id,
            report_id_ma=b"\xff" * 32,
            reported_tcb=version,
            cpuid_family=0x19,
            cpuid_model=0x01,
            cpuid_stepping=0x01,
            chip_id=bytes.fromhex(self.chip_id),
            committed_tcb=version,
            current_firmware=FIRMWARE,
            committed_firmware=FIRMWARE,
            launch_tcb=version,
            launch_mitigations=0,
            current_mitigations=0,
            signature=(0, 0),
        )
        signed = abi.serialise(unsigned)[: abi.SIGNED]
        signature = self._keys.vcek.sign(signed, ec.ECDSA(hashes.SHA384()))
        return abi.serialise(dataclasses.replace(unsigned, signature=utils.decode_dss_signature(signature)))


def create(home: Path, *, now: int, keys: Keys | None = None) -> Processor:
    """Make a processor in a new folder that only its user can enter; tests hand in `keys` to save seconds.

    Raises:
        UsageError: there is one already.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (home / _STATE).exists():
        raise UsageError(f"{home} holds a simulated processor already", hint="use it, or name another folder")
    home.chmod(0o700)
    keys = keys or Keys.generate()
    instance = secrets.token_hex(4)
    chip_id = CHIP_PREFIX + secrets.token_bytes(64 - len(CHIP_PREFIX))
    middle = certificates.intermediate(keys.intermediate.public_key(), instance, now, keys.root)
    vcek = certificates.vcek(keys.vcek.public_key(), instance, now, keys.intermediate, chip_id=chip_id, tcb=TCB)
    chain = {"root": certificates.root(keys.root, instance, now), "intermediate": middle, "vcek": vcek}
    state = State("sealroom/simulated-processor/v1", instance, chip_id.hex())
    for name, certificate in chain.items():
        _write(home / f"{name}.der", certificate)
        _write(home / f"{name}.key", _private_bytes(getattr(keys, name)))
    # Last, so that a folder without it is not taken for a processor.
    _write(home / _STATE, canonical.encode(schema.encode(state)))
    return Processor(keys, state, chain)


def load(home: Path) -> Processor:
    """Open the processor in `home`.

    Raises:
        UsageError: there is none.
        NotAcceptable: others than its user may enter the folder.
        Malformed: its state cannot be read.
    """
    try:
        data = (home / _STATE).read_bytes()
    except FileNotFoundError as error:
        hint = "make one with `python -m sealroom.attestation.simulated init --home DIR`"
        raise UsageError(f"{home} holds no simulated processor", hint=hint) from error
    if home.stat().st_mode & 0o077:
        raise NotAcceptable("processor-folder", f"others may enter {home}", hint=f"chmod 700 {home}")
    state = schema.decode(State, canonical.decode(data, most=1 << 12))
    names = ("root", "intermediate", "vcek")
    keys = [serialization.load_der_private_key((home / f"{name}.key").read_bytes(), None) for name in names]
    root, middle = (cast("rsa.RSAPrivateKey", key) for key in keys[:2])
    chain = {name: (home / f"{name}.der").read_bytes() for name in names}
    return Processor(Keys(root, middle, cast("ec.EllipticCurvePrivateKey", keys[2])), state, chain)


def _private_bytes(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as target:
        target.write(data)
