"""An evaluation that is killed at any file operation leaves whole files or none, and can be run again."""

import numpy as np
import pytest

from killed import run_killed
from shop import write_shop


def program(data, out):
    arguments = ["--env", "OSPO-Rewrite-v0", "--data", data, "--policy", "query", "--retrievers", "bm25"]
    arguments += ["--json", out / "metrics.json", "--trec", out / "trec"]
    return f"from ospo_cli import evaluate; evaluate.main({[str(part) for part in arguments]!r})"


def contents(out):
    return {path.name: path.read_bytes() for path in sorted(out.rglob("[!.]*")) if path.is_file()}


def kill_at(points, tmp_path):
    data = tmp_path / "data"
    write_shop(data)
    whole = tmp_path / "whole"
    whole.mkdir()
    total = run_killed(program(data, whole), whole)
    expected = {name: content.replace(str(whole).encode(), b"OUT") for name, content in contents(whole).items()}
    assert len(expected) == 3  # the metrics, a run and the judgements
    stops = np.unique(np.linspace(1, total, points).round().astype(int)).tolist()
    incomplete = 0
    for stop in stops:
        out = tmp_path / str(stop)
        out.mkdir()
        assert run_killed(program(data, out), out, stop) is None
        found = {name: content.replace(str(out).encode(), b"OUT") for name, content in contents(out).items()}
        assert found.items() <= expected.items()
        incomplete += len(found) < len(expected)
        run_killed(program(data, out), out)
        found = {name: content.replace(str(out).encode(), b"OUT") for name, content in contents(out).items()}
        assert found == expected
    return incomplete


def test_an_evaluation_that_is_killed_leaves_no_half_file(tmp_path):
    assert kill_at(2, tmp_path) >= 1  # the negative control: a kill does stop it before its files are there


@pytest.mark.exhaustive
def test_an_evaluation_that_is_killed_at_twenty_points_leaves_no_half_file(tmp_path):
    assert kill_at(20, tmp_path) >= 1
