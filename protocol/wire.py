"""Ids, size caps, states and message names: all that the host is allowed to know of the protocol.

Runs in: every zone.   Believes: nothing.   Spec: §8 (gateway), §9 (gate socket).   Constants only, no imports of ours.
"""

from __future__ import annotations

from typing import Final

# Frames on the gate's socket and on the simulated processor's: 4-byte big-endian length, UTF-8 JSON object,
# descriptors by SCM_RIGHTS on the first byte.
FRAME_MOST: Final = 1 << 20
FRAME_MOST_FDS: Final = 16

# Host to gate.
ASSIGN: Final = "assign"
GRANT: Final = "grant"
OBJECT: Final = "object"
STOP: Final = "stop"
# Gate to host.
EVIDENCE: Final = "evidence"
PROGRESS: Final = "progress"
OFFER: Final = "offer"
RECEIPT: Final = "receipt"
PROGRESS_PHASES: Final = ("granted", "computing", "sealing")

# Sizes that the gateway enforces while it reads.
STATEMENT_MOST: Final = 1 << 20
CHUNK: Final = 1 << 20
CHUNK_TAG: Final = 16
OBJECT_MOST: Final = 1 << 40
CIPHERTEXT_MOST: Final = 1 << 30

# What a run may be in; the parties learn nothing finer from the host.
RUN_STATES: Final = (
    "waiting-for-challenges",
    "queued",
    "launching",
    "waiting-for-grants",
    "running",
    "waiting-for-consent",
    "done",
    "refused",
    "failed",
    "expired",
    "stopped",
)
RUN_FINAL_STATES: Final = ("done", "refused", "failed", "expired", "stopped")

# Places inside the enclave's working directory, the same for every launcher.
HOST_SOCKET: Final = "host.sock"
TSM_REPORTS: Final = "tsm/report"

# Seconds.
GRANT_WAIT: Final = 3600
CHALLENGE_WAIT: Final = 86400
REQUEST_SKEW: Final = 60
"""How old a signed HTTP request may be (RFC 9421 `created`)."""
