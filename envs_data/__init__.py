"""Data sets as prepared directories, made from official files, a user's own files or a generator.

The package knows no environment.
"""

from importlib.metadata import version as _version

from envs_data.custom.prepare import prepare_beir, prepare_irds, prepare_tables
from envs_data.custom.prepare_log import prepare_log
from envs_data.errors import DataError, FileFaults
from envs_data.layout import SPLITS
from envs_data.official.esci import prepare_esci
from envs_data.official.hm import prepare_hm
from envs_data.prepared import PreparedData, load_prepared
from envs_data.writing import write_prepared

__all__ = [
    "SPLITS",
    "DataError",
    "FileFaults",
    "PreparedData",
    "load_prepared",
    "prepare_beir",
    "prepare_esci",
    "prepare_hm",
    "prepare_irds",
    "prepare_log",
    "prepare_tables",
    "write_prepared",
]

__version__ = _version("ospo")
