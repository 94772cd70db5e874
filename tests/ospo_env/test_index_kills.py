"""An index build that is killed at any file operation leaves nothing that is taken for an index."""

import numpy as np
import pytest

from killed import run_killed
from ospo_env.retrievers.storage import stored_arrays

PROGRAM = """
import os
import numpy as np
os.environ["OSPO_CACHE_DIR"] = {cache!r}
from ospo_env.retrievers.array_file import ArrayFile
from ospo_env.retrievers.storage import stored_arrays

def write(directory):
    np.save(directory / "rows.npy", np.arange(6))
    with ArrayFile(directory / "big.npy", np.float64) as big:
        for part in range(4):
            big.append(np.full(100, float(part)))

stored_arrays("kind-0a", write, check=lambda arrays: None, label="an index")
"""


def write(directory):
    np.save(directory / "rows.npy", np.arange(6))
    np.save(directory / "big.npy", np.repeat(np.arange(4.0), 100))


def kill_at(points, tmp_path, monkeypatch):
    total = run_killed(PROGRAM.format(cache=str(tmp_path / "counted")), tmp_path / "counted")
    stops = np.unique(np.linspace(1, total, points).round().astype(int)).tolist()
    assert len(stops) == points
    left = 0
    for stop in stops:
        cache = tmp_path / str(stop)
        assert run_killed(PROGRAM.format(cache=str(cache)), cache, stop) is None
        left += any(path.name.endswith(".partial") for path in cache.rglob("*"))
        monkeypatch.setenv("OSPO_CACHE_DIR", str(cache))
        arrays = stored_arrays("kind-0a", write, check=lambda arrays: None, label="an index")
        assert arrays["rows"].tolist() == list(range(6))
        assert arrays["big"].tolist() == np.repeat(np.arange(4.0), 100).tolist()
        names = {path.name for path in cache.rglob("*") if not path.name.endswith(".lock")}
        assert not any(name.endswith(".partial") for name in names)
    return left


def test_a_build_that_is_killed_leaves_nothing(tmp_path, monkeypatch):
    assert kill_at(3, tmp_path, monkeypatch) >= 1  # the negative control: kills do leave something behind


@pytest.mark.exhaustive
def test_a_build_that_is_killed_at_twenty_points_leaves_nothing(tmp_path, monkeypatch):
    assert kill_at(20, tmp_path, monkeypatch) >= 3
