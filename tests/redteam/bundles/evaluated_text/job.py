"""Has pandas evaluate a text that opens a file."""

import pandas as pd
import target


def run(tables, ask):
    found = pd.eval(
        "reader(path)", parser="pandas", engine="python", local_dict={"reader": _read, "path": target.SECRET}
    )
    return [0, 1] if found == target.CANARY else []


def _read(path):
    with open(path, "rb") as file:
        return file.read()
