"""AMD's root keys, as facts: what makes a root a vendor's root is its digest, never its name.

Runs in: parties.   Believes: this file.   Spec: §6.

SHA-256 of the DER of each ARK that AMD's key distribution service hands out (`/vcek/v1/<family>/cert_chain`), as found
equal in four independent sources. Compare them with your own source before you rely on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sealroom.protocol.platform import Family, PlatformClass

VENDOR_ROOTS: Mapping[str, Family] = MappingProxyType(
    {
        "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd": "milan",
        "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1": "genoa",
        "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a": "turin",
    }
)


def class_of(root: str) -> PlatformClass:
    """What a chain to this root can prove: only AMD's own roots stand for hardware, every other stands for software."""
    return "confidential-hardware" if root in VENDOR_ROOTS else "simulated"
