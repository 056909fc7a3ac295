"""Builds an enclave's image: a folder that depends on sources, locked packages and interpreter alone."""
