"""The part of the study with a pretrained language model, on a model and data made on the spot."""

import gzip
import json

import numpy as np
import pytest

from chat_models import chat_directory
from ospo_agents import AgentError
from ospo_cli import study
from ospo_cli._study.numbers import crossed_interval
from ospo_cli._study.plan import METRIC
from ospo_cli._study.real_lm import part
from ospo_cli._study.real_lm.plan import DATA_SETS, REFERENCES, LMCell, scores_path
from ospo_cli._tasks import open_task
from small_run import write_data


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study: its arguments, and what it printed."""
    directory = tmp_path_factory.mktemp("real-lm")
    policy, data = chat_directory(directory / "model"), write_data(directory)
    argv = ["real-lm", "--quick", "--policy", str(policy), "--data", f"esci-graded={data}", "--steps", "2"]
    argv += ["--methods", "grpo", "ospo", "--out", str(directory / "out")]
    return directory, argv


def run_here(monkeypatch, argv):
    """Run the study in this process; returns its jobs by kind."""
    jobs = []

    def run_all(command, out, work, processes, label):
        for job in work:
            jobs.append(json.loads(job)["what"])
            study.main(["real-lm", *argv[1:], "--cell", job])

    with monkeypatch.context() as patch:
        patch.setattr(part, "run_all", run_all)
        study.main(argv)
    return jobs


def test_a_study_from_nothing_to_its_tables_and_again(finished, monkeypatch, capsys):
    directory, argv = finished
    jobs = run_here(monkeypatch, argv)
    assert jobs.count("warm start") == 1
    assert jobs.count("texts") == len(REFERENCES) + 2 + 2
    assert jobs.count("scores") == 4, "bm25 and lsa, on pools and on the corpus"
    printed = capsys.readouterr().out
    for method in (*REFERENCES, "zero-shot", "warm-start", "grpo", "ospo"):
        assert printed.count(f"| {method} |") >= 4, method
    assert "Learners on esci-graded, bm25, pool" in printed
    assert run_here(monkeypatch, argv) == [], "what is finished is kept"
    assert capsys.readouterr().out == printed

    about = DATA_SETS["esci-graded"]
    cells = directory / "out/cells/real-lm-esci-graded"
    (path,) = cells.glob("ospo-*.json.gz")
    texts = json.loads(gzip.decompress(path.read_bytes()))
    assert [point["rollouts"] for point in texts["curve"]] == [0.0, 64.0, 128.0]
    task = open_task(about.env, directory / "data", split="test", retriever="bm25", metric=METRIC, **about.modes)
    scores = json.loads(gzip.decompress(scores_path(path, "bm25", "pool", about.modes).read_bytes()))
    assert scores["greedy"] == task.rewards(texts["ids"], texts["greedy"]).tolist()
    assert np.shape(scores["sampled"]) == (2, len(texts["ids"]))


def test_arguments(tmp_path):
    for argv, message in [
        ([], "--policy: the part real-lm needs a language model"),
        (["--policy", "x"], "--data: the part real-lm needs data sets"),
        (["--policy", "x", "--data", "nowhere=y"], "expected NAME=DIR with a name of nfcorpus"),
        (["--policy", "x", "--data", "nfcorpus"], "expected NAME=DIR"),
        (["--policy", "x", "--data", "hm=y", "--methods", "rloo"], "expected of grpo, ospo"),
    ]:
        with pytest.raises(AgentError, match=message):
            study.parse(["real-lm", "--out", str(tmp_path), *argv])
    with pytest.raises(AgentError, match="--policy is of the part real-lm"):
        study.parse(["learning", "--policy", "x"])


def test_names_of_files_tell_cells_apart(tmp_path):
    cell = LMCell("hm", "d", "p", "ospo", {"learning_rate": 2e-5}, 0, 60, "test")
    others = [
        LMCell("hm", "d", "p", "ospo", {"learning_rate": 1e-5}, 0, 60, "test"),
        LMCell("hm", "d", "p", "ospo", {"learning_rate": 2e-5}, 1, 60, "test"),
        LMCell("hm", "d", "p", "ospo", {"learning_rate": 2e-5}, 0, 60, "test", warm_start_epochs=1.0),
        LMCell("hm", "d", "p", "ospo", {"learning_rate": 2e-5}, 0, 60, "test", queries=8),
    ]
    assert len({one.path(tmp_path) for one in [cell, *others]}) == 5
    paths = {
        scores_path(cell.path(tmp_path), name, "pool", {**DATA_SETS["hm"].modes}) for name in ("dense:a", "dense:b")
    }
    assert len(paths) == 2


def test_the_interval_over_seeds_and_queries_is_wider_than_either():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(5, 1)) + generator.normal(size=(1, 40)) + generator.normal(size=(5, 40))

    def width(array):
        interval = crossed_interval(array)
        return interval.high - interval.low

    both, queries = width(values), width(np.broadcast_to(values.mean(axis=0), (5, 40)))
    assert both > 1.3 * queries
    assert width(np.ones((3, 4))) == 0
