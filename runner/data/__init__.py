"""The data folders a runner keeps: which exist, and the smoke data, which every machine can make for itself."""

from runner.data.errors import DataError
from runner.data.smoke import is_prepared, prepare_smoke

__all__ = ["DataError", "is_prepared", "prepare_smoke"]
