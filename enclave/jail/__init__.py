"""Confinement of code and parsers that nobody trusts: layers, zygote, harness, readers."""
