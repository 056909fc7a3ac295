"""Leaves a file in shared memory for whoever runs next."""

import target


def run(tables, ask):
    with open(target.SHARED_MEMORY, "wb") as file:
        file.write(target.CANARY)
    return [0, 1]
