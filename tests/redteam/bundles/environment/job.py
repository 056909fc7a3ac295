"""Looks for secrets in the environment."""

import os


def run(tables, ask):
    return [0, 1] if "SEALROOM_SECRET" in os.environ else []
