"""Recomputes what an enclave's image is, from its bytes: the number that owners approve and a report states."""
