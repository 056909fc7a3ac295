"""What everything made by the simulated processor says about itself.

Runs in: the operator's machine, outside the enclave.   Spec: §6.6.
"""

from __future__ import annotations

from typing import Final

WARNING: Final = "simulated platform: protects nobody from the operator of this machine"
ORGANIZATION: Final = "SIMULATED - protects nobody from the operator"
FAMILY_ID: Final = b"SIMULATED".ljust(16, b"\0")
CHIP_PREFIX: Final = b"SIMULATED-CHIP-OF-SEALROOM------"
"""The first 32 of a chip id's 64 bytes; no genuine id looks like text."""
