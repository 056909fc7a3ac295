"""Answers with an array that lies about itself."""

import numpy as np
import target


class Lying(np.ndarray):
    def min(self, *_, **__):
        return 0

    def max(self, *_, **__):
        return 1


def run(tables, ask):
    return np.array([0, int.from_bytes(target.CANARY[:7], "little")]).view(Lying)
