"""The one table format between processes: flat little-endian columns that a small validator can check.

Runs in: readers, engine, jail.   Believes: nothing; `validate` checks every bound.   Spec: §9.5.
"""

from sealroom.enclave.flat_columns import (
    MAGIC,
    MOST_COLUMNS,
    MOST_ROWS,
    Column,
    FlatTable,
    bool_column,
    category_column,
    float_column,
    int_column,
    text_column,
)
from sealroom.enclave.flat_read import validate
from sealroom.enclave.flat_write import size_of, to_bytes, to_memfd, write_into

__all__ = [
    "MAGIC",
    "MOST_COLUMNS",
    "MOST_ROWS",
    "Column",
    "FlatTable",
    "bool_column",
    "category_column",
    "float_column",
    "int_column",
    "size_of",
    "text_column",
    "to_bytes",
    "to_memfd",
    "validate",
    "write_into",
]
