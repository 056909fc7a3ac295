"""What an SEV-SNP report says: 1184 bytes to fields and back (AMD 56860 rev 1.58, table "ATTESTATION_REPORT").

Runs in: parties and gate.   Believes: nothing.   Spec: §6.

Every bit that has no meaning must be zero, the unsigned tail included; otherwise one report could have many spellings.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from sealroom.protocol.errors import Malformed
from sealroom.protocol.platform import KeyKind

SIZE = 0x4A0
SIGNED = 0x2A0
"""The signature covers bytes 0..SIGNED."""
VERSIONS = (2, 3, 4, 5)
ECDSA_P384_SHA384 = 1
P384_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973

# Guest POLICY: what the guest's owner demanded at launch. Bits 0..15 are the ABI version.
SMT, RESERVED_ONE, MIGRATE_MA, DEBUG, SINGLE_SOCKET, CXL = (1 << bit for bit in range(16, 22))
MEM_AES_256_XTS, RAPL_DIS, CIPHERTEXT_HIDING, PAGE_SWAP_DISABLE = (1 << bit for bit in range(22, 26))
_POLICY_BITS = (1 << 26) - 1
# PLATFORM_INFO: what the host has. Bit 6 has no public meaning, but genuine Turin processors set it.
SMT_EN, TSME_EN, ECC_EN, RAPL_DIS_EN, CIPHERTEXT_HIDING_EN, ALIAS_CHECK_COMPLETE = (1 << bit for bit in range(6))
TIO_EN = 1 << 7
_PLATFORM_BITS = (1 << 8) - 1
# The word at 0x48: author key present, chip key masked, and which key signed.
AUTHOR_KEY_EN, MASK_CHIP_KEY = 1, 2
_KEY_KINDS: dict[int, KeyKind] = {0: "vcek", 1: "vlek"}
_KEY_BITS = (1 << 5) - 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """A firmware version; its order in the report is build, minor, major."""

    major: int
    minor: int
    build: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.build}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The fields of a report.

    TCB versions stay raw, since their layout depends on the processor family; `signature` is the pair (r, s).
    """

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algorithm: int
    current_tcb: bytes
    platform_info: int
    key_word: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: bytes
    cpuid_family: int
    cpuid_model: int
    cpuid_stepping: int
    chip_id: bytes
    committed_tcb: bytes
    current_firmware: Firmware
    committed_firmware: Firmware
    launch_tcb: bytes
    launch_mitigations: int
    current_mitigations: int
    signature: tuple[int, int]

    @property
    def key_kind(self) -> KeyKind:
        """Which kind of key the report says it was signed with."""
        return _KEY_KINDS[self.key_word >> 2]

    @property
    def abi(self) -> tuple[int, int]:
        """The (major, minor) ABI version that the guest's policy demands."""
        return (self.policy >> 8) & 0xFF, self.policy & 0xFF


# name -> (offset, size), for fields that are plain integers and for those that are plain bytes.
_INTEGERS = {
    "version": (0x000, 4),
    "guest_svn": (0x004, 4),
    "policy": (0x008, 8),
    "vmpl": (0x030, 4),
    "signature_algorithm": (0x034, 4),
    "platform_info": (0x040, 8),
    "key_word": (0x048, 4),
    "cpuid_family": (0x188, 1),
    "cpuid_model": (0x189, 1),
    "cpuid_stepping": (0x18A, 1),
    "launch_mitigations": (0x1F8, 8),
    "current_mitigations": (0x200, 8),
}
_BYTES = {
    "family_id": (0x010, 16),
    "image_id": (0x020, 16),
    "current_tcb": (0x038, 8),
    "report_data": (0x050, 64),
    "measurement": (0x090, 48),
    "host_data": (0x0C0, 32),
    "id_key_digest": (0x0E0, 48),
    "author_key_digest": (0x110, 48),
    "report_id": (0x140, 32),
    "report_id_ma": (0x160, 32),
    "reported_tcb": (0x180, 8),
    "chip_id": (0x1A0, 64),
    "committed_tcb": (0x1E0, 8),
    "launch_tcb": (0x1F0, 8),
}
_FIRMWARE = {"current_firmware": 0x1E8, "committed_firmware": 0x1EC}
_R, _S, _NUMBER = 0x2A0, 0x2E8, 72
_SINCE = {"cpuid_family": 3, "cpuid_model": 3, "cpuid_stepping": 3, "launch_mitigations": 5, "current_mitigations": 5}
_RESERVED = ((0x04C, 0x050), (0x18B, 0x1A0), (0x1EB, 0x1EC), (0x1EF, 0x1F0), (0x208, SIGNED), (_S + _NUMBER, SIZE))


def parse(data: bytes) -> Report:
    """The fields of a report of exactly 1184 bytes.

    Raises:
        Malformed: another length, version or algorithm, a reserved bit that is set, or an unknown signing key.
    """
    if len(data) != SIZE:
        raise Malformed("length", f"a report has {SIZE} bytes, not {len(data)}")
    found: dict[str, Any] = {
        name: int.from_bytes(data[at : at + size], "little") for name, (at, size) in _INTEGERS.items()
    }
    found |= {name: data[at : at + size] for name, (at, size) in _BYTES.items()}
    for name, at in _FIRMWARE.items():
        found[name] = Firmware(build=data[at], minor=data[at + 1], major=data[at + 2])
    found["signature"] = tuple(int.from_bytes(data[at : at + _NUMBER], "little") for at in (_R, _S))
    _check_words(found)
    _check_reserved(data, found)
    return Report(**found)


def serialise(report: Report) -> bytes:
    """The 1184 bytes of a report; the inverse of `parse`."""
    data = bytearray(SIZE)
    for name, (at, size) in _INTEGERS.items():
        data[at : at + size] = getattr(report, name).to_bytes(size, "little")
    for name, (at, size) in _BYTES.items():
        value = getattr(report, name)
        if len(value) != size:
            raise ValueError(f"{name} has {size} bytes, not {len(value)}")
        data[at : at + size] = value
    for name, at in _FIRMWARE.items():
        version = getattr(report, name)
        data[at : at + 3] = version.build, version.minor, version.major
    for at, number in zip((_R, _S), report.signature, strict=True):
        data[at : at + _NUMBER] = number.to_bytes(_NUMBER, "little")
    return bytes(data)


def _check_words(found: dict[str, Any]) -> None:
    if found["version"] not in VERSIONS:
        raise Malformed("version", f"report version {found['version']} is not one of {VERSIONS}")
    if found["signature_algorithm"] != ECDSA_P384_SHA384:
        raise Malformed("algorithm", f"signature algorithm {found['signature_algorithm']} is not ECDSA P-384 (1)")
    if not found["policy"] & RESERVED_ONE:
        raise Malformed("reserved", "guest policy bit 17 must be one")
    if found["policy"] & ~_POLICY_BITS:
        raise Malformed("reserved", f"guest policy 0x{found['policy']:x} has reserved bits set")
    if found["platform_info"] & ~_PLATFORM_BITS:
        raise Malformed("reserved", f"platform info 0x{found['platform_info']:x} has reserved bits set")
    if found["key_word"] & ~_KEY_BITS:
        raise Malformed("reserved", f"signing key word 0x{found['key_word']:x} has reserved bits set")
    if found["key_word"] >> 2 not in _KEY_KINDS:
        raise Malformed("signing-key", f"signing key {found['key_word'] >> 2} is neither VCEK (0) nor VLEK (1)")


def _check_reserved(data: bytes, found: dict[str, Any]) -> None:
    for start, end in _RESERVED:
        if any(data[start:end]):
            raise Malformed("reserved", f"reserved bytes 0x{start:x}..0x{end:x} are not zero")
    for name, version in _SINCE.items():
        if found["version"] < version and found[name]:
            raise Malformed("reserved", f"{name} is set, but exists only since report version {version}")
