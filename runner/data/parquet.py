"""Rows of Parquet files, a batch at a time."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.data.errors import DataError

BATCH = 1024
"""Rows at once: a few megabytes of web text."""


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """Batches of rows as dictionaries with `columns`. Raises DataError."""
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(path, "it needs the package pyarrow: pip install 'ringfence[data]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            missing = sorted(set(columns) - set(file.schema_arrow.names))
            if missing:
                raise DataError(
                    path, f"has no column {', '.join(missing)}; it has {', '.join(file.schema_arrow.names)}"
                )
            for batch in file.iter_batches(BATCH, columns=list(columns)):
                yield batch.to_pylist()
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise DataError(path, f"cannot be read as Parquet: {error}") from error
