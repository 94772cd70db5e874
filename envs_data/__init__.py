"""Data sets: official files and synthetic shops turned into prepared directories. Knows no environment."""

from envs_data.errors import DataError, unknown_name
from envs_data.esci import prepare_esci
from envs_data.hm import prepare_hm
from envs_data.prepared import SPLITS, PreparedData, load_prepared, write_prepared

__all__ = [
    "SPLITS",
    "DataError",
    "PreparedData",
    "load_prepared",
    "prepare_esci",
    "prepare_hm",
    "unknown_name",
    "write_prepared",
]
