"""The single bits of a report: what the guest's owner demanded at launch, and what the host has.

Runs in: parties.   Believes: `verify`, and the policy.   Spec: §6.

The guest's POLICY says what the firmware had to ensure; PLATFORM_INFO says what the machine was set to. A promise needs
both, and where they contradict each other nothing can be believed: firmware would not have launched such a guest.
"""

from __future__ import annotations

from sealroom.attestation.snp import abi
from sealroom.attestation.verdict import Check, Outcome
from sealroom.protocol.platform import SnpPolicy

# Field of the policy, reason, bit of the guest's POLICY, words for unset and set.
_REFUSED = (
    ("debug", "debug-allowed", abi.DEBUG, "debugging by the host"),
    ("migration", "migration-agent-allowed", abi.MIGRATE_MA, "migration by an agent"),
    ("smt", "smt-allowed", abi.SMT, "two threads on a core"),
    ("cxl", "cxl-allowed", abi.CXL, "CXL memory"),
)
_REQUIRED = (
    ("single_socket", "single-socket-missing", abi.SINGLE_SOCKET, "a single socket"),
    ("memory_aes_256_xts", "memory-aes-256-xts-missing", abi.MEM_AES_256_XTS, "AES-256-XTS for memory"),
    ("page_swap_disabled", "page-swap-allowed", abi.PAGE_SWAP_DISABLE, "no page swapping"),
)
# The same, and the bit of PLATFORM_INFO that must go with it.
_REQUIRED_OF_BOTH = (
    ("rapl_disabled", "rapl-enabled", abi.RAPL_DIS, abi.RAPL_DIS_EN, "no power meter (RAPL)"),
    (
        "ciphertext_hiding",
        "ciphertext-hiding-missing",
        abi.CIPHERTEXT_HIDING,
        abi.CIPHERTEXT_HIDING_EN,
        "ciphertext hiding",
    ),
)
_REQUIRED_OF_HOST = (
    ("ecc", "ecc-missing", abi.ECC_EN, "ECC memory"),
    ("alias_check", "alias-check-incomplete", abi.ALIAS_CHECK_COMPLETE, "check for aliased memory (BadRAM)"),
)


def checks(report: abi.Report, policy: SnpPolicy) -> list[Check]:
    """One check per bit that the policy has a word for, and one per possible contradiction."""
    guest, host = report.policy, report.platform_info
    found = [
        wanted(
            words,
            holds=not guest & bit,
            words=("allowed", "forbidden", "forbidden"),
            wish=_wish(policy, name),
            reason=reason,
        )
        for name, reason, bit, words in _REFUSED
    ]
    found += [
        wanted(
            words,
            holds=bool(guest & bit),
            words=("not demanded", "demanded", "demanded"),
            wish=_wish(policy, name),
            reason=reason,
        )
        for name, reason, bit, words in _REQUIRED
    ]
    found += [
        wanted(
            words,
            holds=bool(guest & bit and host & host_bit),
            words=(_halves(guest & bit, host & host_bit), "demanded and on", "demanded and on"),
            wish=_wish(policy, name),
            reason=reason,
        )
        for name, reason, bit, host_bit, words in _REQUIRED_OF_BOTH
    ]
    found += [
        wanted(words, holds=bool(host & bit), words=("off", "on", "on"), wish=_wish(policy, name), reason=reason)
        for name, reason, bit, words in _REQUIRED_OF_HOST
    ]
    off = not host & abi.TIO_EN
    found.append(
        wanted("trusted I/O", holds=off, words=("on", "off", "off"), wish=policy.trusted_io, reason="trusted-io-on")
    )
    return found + _contradictions(guest, host)


def wanted(name: str, *, holds: bool, words: tuple[str, str, str], wish: str, reason: str) -> Check:
    """A check that a policy can waive with `any`; `words` are the value if not, the value if so, the expectation."""
    outcome: Outcome = "pass"
    if not holds:
        outcome = "waived" if wish == "any" else "fail"
    return Check(name, words[holds], "any" if wish == "any" else words[2], outcome, reason, "report")


def _wish(policy: SnpPolicy, name: str) -> str:
    return str(getattr(policy, name))


def _halves(guest: int, host: int) -> str:
    return f"{'demanded' if guest else 'not demanded'} and {'on' if host else 'off'}"


def _contradictions(guest: int, host: int) -> list[Check]:
    """What the guest's policy demands and the host cannot have granted; no policy can waive these."""
    pairs = (
        ("smt-contradiction", not guest & abi.SMT and host & abi.SMT_EN, "two threads on a core"),
        ("rapl-contradiction", guest & abi.RAPL_DIS and not host & abi.RAPL_DIS_EN, "no power meter (RAPL)"),
        (
            "ciphertext-hiding-contradiction",
            guest & abi.CIPHERTEXT_HIDING and not host & abi.CIPHERTEXT_HIDING_EN,
            "ciphertext hiding",
        ),
    )
    return [
        Check(
            f"{words}: guest and host",
            "contradict each other" if broken else "agree",
            "agree",
            "fail" if broken else "pass",
            reason,
            "report",
        )
        for reason, broken, words in pairs
    ]
