"""The decoded fields of a report and of a revocation list, by the names that public tools use, for people and vectors.

Runs in: parties.   Believes: nothing.   Spec: §6.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sealroom.attestation.snp import abi, tcb
from sealroom.attestation.snp.certificates import Certificate
from sealroom.attestation.snp.revocation import RevocationList
from sealroom.attestation.snp.verify import Genuine
from sealroom.protocol.platform import SnpTcb

_POLICY = {
    "smt": abi.SMT,
    "rsvd1": abi.RESERVED_ONE,
    "migrate_ma": abi.MIGRATE_MA,
    "debug": abi.DEBUG,
    "single_socket": abi.SINGLE_SOCKET,
    "cxl_allow": abi.CXL,
    "mem_aes_256_xts": abi.MEM_AES_256_XTS,
    "rapl_dis": abi.RAPL_DIS,
    "ciphertext_hiding": abi.CIPHERTEXT_HIDING,
    "page_swap_disable": abi.PAGE_SWAP_DISABLE,
}
_PLATFORM = {
    "smt_en": abi.SMT_EN,
    "tsme_en": abi.TSME_EN,
    "ecc_en": abi.ECC_EN,
    "rapl_dis": abi.RAPL_DIS_EN,
    "ciphertext_hiding_en": abi.CIPHERTEXT_HIDING_EN,
    "alias_check_complete": abi.ALIAS_CHECK_COMPLETE,
    "tio_en": abi.TIO_EN,
}
_HEX = (
    "measurement",
    "report_data",
    "host_data",
    "id_key_digest",
    "author_key_digest",
    "family_id",
    "image_id",
    "report_id",
    "report_id_ma",
    "chip_id",
)
_SHORT = {"fmc": "fmc", "bootloader": "bl", "tee": "tee", "snp": "snp", "microcode": "ucode"}


def described(genuine: Genuine) -> dict[str, Any]:
    """Every field of a genuine report, decoded."""
    report, tcbs = genuine.report, genuine.tcbs
    family = None if report.version == 2 else tcb.family_of_cpuid(report.cpuid_family, report.cpuid_model)
    found: dict[str, Any] = {name: getattr(report, name).hex() for name in _HEX}
    for name in ("reported", "current", "committed", "launch"):
        found[f"{name}_tcb"] = _tcb(getattr(tcbs, name), turin=genuine.family == "turin")
    found |= {
        "version": report.version,
        "product_from_cpuid": None if family is None else family.capitalize(),
        "cert_product": genuine.product,
        "csp_id": genuine.cloud,
        "guest_svn": report.guest_svn,
        "vmpl": report.vmpl,
        "signing_key": report.key_kind.upper(),
        "author_key_en": int(bool(report.key_word & abi.AUTHOR_KEY_EN)),
        "mask_chip_key": int(bool(report.key_word & abi.MASK_CHIP_KEY)),
        "policy": f"0x{report.policy:x}",
        "policy_decoded": {"abi_minor": report.abi[1], "abi_major": report.abi[0]} | _bits(report.policy, _POLICY),
        "platform_info": f"0x{report.platform_info:x}",
        "platform_info_decoded": _bits(report.platform_info, _PLATFORM),
        "current_fw": str(report.current_firmware),
        "committed_fw": str(report.committed_firmware),
        "provisional_firmware": tcbs.current != tcbs.committed or report.current_firmware != report.committed_firmware,
        "launch_mit_vector": report.launch_mitigations,
        "current_mit_vector": report.current_mitigations,
    }
    return found


def described_list(listed: RevocationList, intermediate: Certificate | None) -> dict[str, Any]:
    """A revocation list, decoded; serial numbers in hex, dates in UTC."""
    return {
        "revoked_serials": sorted(map(_serial, listed.serials)),
        "ask_serial": None if intermediate is None else _serial(intermediate.serial),
        "this_update": _date(listed.this_update),
        "next_update": _date(listed.next_update),
    }


def _bits(word: int, names: dict[str, int]) -> dict[str, int]:
    return {name: int(bool(word & bit)) for name, bit in names.items()}


def _tcb(version: SnpTcb, *, turin: bool) -> dict[str, int]:
    return {short: getattr(version, part) for part, short in _SHORT.items() if part != "fmc" or turin}


def _serial(number: int) -> str:
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big").hex()


def _date(moment: int) -> str:
    return dt.datetime.fromtimestamp(moment, tz=dt.UTC).date().isoformat()
