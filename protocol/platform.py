"""What a party demands of the machine: one attestation policy per kind of platform, signed inside the agreement.

Runs in: every zone.   Believes: nothing.   Spec: §6.

Nothing here has a default. A policy says `any` where it does not care, so that a reader of the signed text sees every
check that is not made. The words say what is wanted: `refuse` what must be absent, `require` what must be there.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from sealroom.protocol.errors import Malformed
from sealroom.protocol.schema import Hex32, Hex48, Int, Label, Many, Text, Time

PlatformClass = Literal["simulated", "confidential-hardware"]
Family = Literal["milan", "genoa", "turin"]
KeyKind = Literal["vcek", "vlek"]
Refuse = Literal["refuse", "any"]
Require = Literal["require", "any"]
Byte = Annotated[int, Int(0, 255)]
Mitigations = Annotated[str, Text(r"[0-9a-f]{16}", 16)]
"""A 64-bit mask in hex, most significant digit first."""
ChipId = Annotated[str, Text(r"[0-9a-f]{128}", 128)]


@dataclasses.dataclass(frozen=True, slots=True)
class SnpTcb:
    """Security version numbers of one processor's firmware; `fmc` exists on Turin only and is 0 elsewhere."""

    fmc: Byte
    bootloader: Byte
    tee: Byte
    snp: Byte
    microcode: Byte


@dataclasses.dataclass(frozen=True, slots=True)
class SnpFloors:
    """The lowest acceptable TCB per family; it holds for the reported, the committed and the launch TCB alike."""

    milan: SnpTcb
    genoa: SnpTcb
    turin: SnpTcb


@dataclasses.dataclass(frozen=True, slots=True)
class SnpFirmware:
    """The lowest acceptable version of the SNP firmware; it holds for the current and the committed one."""

    major: Byte
    minor: Byte
    build: Byte


@dataclasses.dataclass(frozen=True, slots=True)
class SnpAbi:
    """The lowest ABI version that the guest's own launch policy must demand of the firmware."""

    major: Byte
    minor: Byte


@dataclasses.dataclass(frozen=True, slots=True)
class SnpPolicy:
    """Which AMD SEV-SNP evidence is acceptable (AMD 56860; field by field in SPEC §6).

    `roots` are SHA-256 digests of root certificates (DER). The class of a root is a fact that the verifier knows, so a
    policy must name both: `platform_class` and a root of that class. Lists are allow-lists.
    """

    type: Literal["sev-snp"]
    platform_class: PlatformClass
    roots: Annotated[tuple[Hex32, ...], Many(1, 16)]
    families: Annotated[tuple[Family, ...], Many(1, 3)]
    key_kinds: Annotated[tuple[KeyKind, ...], Many(1, 2)]
    vlek_clouds: Annotated[tuple[Label, ...], Many(1, 16)] | Literal["any"]
    chip_ids: Annotated[tuple[ChipId, ...], Many(1, 1024)] | Literal["any"]
    masked_chip: Refuse
    minimum_tcb: SnpFloors
    minimum_firmware: SnpFirmware
    provisional_firmware: Refuse
    mitigations: Mitigations
    revocation: Require
    most_collateral_age: Annotated[Time, Int(1)] | Literal["any"]
    debug: Refuse
    migration: Refuse
    smt: Refuse
    single_socket: Require
    cxl: Refuse
    memory_aes_256_xts: Require
    rapl_disabled: Require
    ciphertext_hiding: Require
    page_swap_disabled: Require
    ecc: Require
    alias_check: Require
    trusted_io: Refuse
    vmpl_most: Annotated[int, Int(0, 3)]
    minimum_abi: SnpAbi
    minimum_guest_svn: Annotated[int, Int(0, 2**32 - 1)]
    id_keys: Annotated[tuple[Hex48, ...], Many(1, 64)] | Literal["any"]
    author_keys: Annotated[tuple[Hex48, ...], Many(1, 64)] | Literal["any"]
    launch_configuration: Literal["labelled", "plain", "any"]

    def __post_init__(self) -> None:
        """Refuse floors that no processor could state.

        Raises:
            Malformed: an FMC floor for a family without FMC, or a list that names something twice.
        """
        if self.minimum_tcb.milan.fmc or self.minimum_tcb.genoa.fmc:
            raise Malformed("no-fmc", "minimum_tcb: only Turin has an fmc version; use 0 for milan and genoa")
        for name in ("roots", "families", "key_kinds", "vlek_clouds", "chip_ids", "id_keys", "author_keys"):
            listed = getattr(self, name)
            if not isinstance(listed, str) and len(set(listed)) != len(listed):
                raise Malformed("repeated", f"{name}: names something twice")


PlatformPolicy = SnpPolicy
"""Every platform an agreement can name; other vendors join it as a union, told apart by `type`."""


def simulated_policy(root: str) -> SnpPolicy:
    """The strictest policy that the simulated processor with this root (SHA-256 of its DER, hex) can meet."""
    nothing = SnpTcb(fmc=0, bootloader=0, tee=0, snp=0, microcode=0)
    return SnpPolicy(
        type="sev-snp",
        platform_class="simulated",
        roots=(root,),
        families=("milan", "genoa", "turin"),
        key_kinds=("vcek",),
        vlek_clouds="any",
        chip_ids="any",
        masked_chip="refuse",
        minimum_tcb=SnpFloors(milan=nothing, genoa=nothing, turin=nothing),
        minimum_firmware=SnpFirmware(major=0, minor=0, build=0),
        provisional_firmware="refuse",
        mitigations="0" * 16,
        revocation="require",
        most_collateral_age="any",
        debug="refuse",
        migration="refuse",
        smt="any",
        single_socket="any",
        cxl="refuse",
        memory_aes_256_xts="any",
        rapl_disabled="any",
        ciphertext_hiding="any",
        page_swap_disabled="any",
        ecc="require",
        alias_check="require",
        trusted_io="refuse",
        vmpl_most=0,
        minimum_abi=SnpAbi(major=0, minor=0),
        minimum_guest_svn=0,
        id_keys="any",
        author_keys="any",
        launch_configuration="labelled",
    )
