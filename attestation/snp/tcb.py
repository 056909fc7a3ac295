"""Security version numbers, whose place in 8 bytes depends on the processor family (AMD 56860 §2.2, KDS 57230 §2.1).

Runs in: parties.   Believes: nothing.   Spec: §6.
"""

from __future__ import annotations

from sealroom.protocol.errors import Malformed
from sealroom.protocol.platform import Family, SnpTcb

PARTS = ("fmc", "bootloader", "tee", "snp", "microcode")
_EARLY = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
_TURIN = {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7}


def family_of_cpuid(family: int, model: int) -> Family | None:
    """The family that CPUID names, or None for a processor that this verifier does not know."""
    if family == 0x19:
        if model <= 0x0F:
            return "milan"
        # Siena and Bergamo are endorsed as Genoa.
        return "genoa" if model <= 0x1F or 0xA0 <= model <= 0xAF else None
    return "turin" if family == 0x1A and model <= 0x11 else None


def family_of_product(product: str) -> Family | None:
    """The family that a certificate's productName means, such as `Milan-B0`, or None."""
    families: dict[str, Family] = {"Milan": "milan", "Genoa": "genoa", "Turin": "turin"}
    return families.get(product.partition("-")[0])


def parse(raw: bytes, family: Family) -> SnpTcb:
    """The five numbers in a TCB_VERSION of 8 bytes.

    Raises:
        Malformed: a byte that this family reserves is not zero.
    """
    places = _places(family)
    if any(byte for at, byte in enumerate(raw) if at not in places.values()):
        raise Malformed("reserved", "a reserved byte of a TCB version is not zero")
    return SnpTcb(**{part: raw[places[part]] if part in places else 0 for part in PARTS})


def serialise(tcb: SnpTcb, family: Family) -> bytes:
    """TCB_VERSION as 8 bytes; the inverse of `parse`."""
    raw = bytearray(8)
    for part, at in _places(family).items():
        raw[at] = getattr(tcb, part)
    return bytes(raw)


def covers(one: SnpTcb, other: SnpTcb) -> bool:
    """Whether `one` is at least `other` in every part; two versions may be such that neither covers the other."""
    return all(getattr(one, part) >= getattr(other, part) for part in PARTS)


def words(tcb: SnpTcb) -> str:
    """The numbers for a person."""
    return " ".join(f"{part}={getattr(tcb, part)}" for part in PARTS)


def _places(family: Family) -> dict[str, int]:
    return _TURIN if family == "turin" else _EARLY
