"""The three programs as a user runs them: a whole path on a small data set, and bad input."""

import json
import subprocess
import sys

import evaluate
import pytest
import train
from conftest import ROOT, SHARED_DATA

from agents import AgentError
from envs_data import DataError
from ospo_env import TaskError

QUICK = ["--steps", "2", "--batch-size", "8", "--group-size", "4", "--warm-start-epochs", "0.1"]


def program(name, *arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    train.main(["--env", "OSPO-ESCI-v0", "--out", str(out), *QUICK])
    return out


def test_a_run_holds_what_it_says(trained):
    assert {path.name for path in trained.iterdir()} == {"policy", "warmstart", "log.jsonl", "run.json"}
    run = json.loads((trained / "run.json").read_text())
    assert run["synthetic"] is True
    assert run["arguments"]["steps"] == 2
    rows = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "reward" in row] == [1, 2]


def test_evaluate_prints_a_table_and_writes_json(trained, tmp_path, capsys):
    report = tmp_path / "eval.json"
    policies = ["query", "oracle", "random", str(trained)]
    evaluate.main(["--env", "OSPO-ESCI-v0", "--split", "validation", "--policy", *policies, "--json", str(report)])
    results = json.loads(report.read_text())["results"]
    assert list(results) == policies
    assert all(set(row) == {"bm25", "lsa"} for row in results.values())
    printed = capsys.readouterr().out
    for name in policies:
        line = next(line for line in printed.splitlines() if line.startswith(name + " "))
        assert line.split()[1] == f"{results[name]['bm25']['nDCG@10']:.4f}"
    assert results["oracle"]["bm25"]["nDCG@10"] > results["query"]["bm25"]["nDCG@10"]


def test_an_earlier_run_is_kept(trained):
    before = (trained / "run.json").read_bytes()
    with pytest.raises(AgentError, match="--overwrite"):
        train.main(["--env", "OSPO-ESCI-v0", "--out", str(trained), *QUICK])
    assert (trained / "run.json").read_bytes() == before


def test_grpo_trains_with_the_same_arguments(tmp_path):
    train.main(["--env", "OSPO-HM-v0", "--algo", "grpo", "--out", str(tmp_path / "run"), *QUICK])
    assert (tmp_path / "run" / "policy" / "config.json").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--steps", "0"], "--steps: expected at least 1"),
        (["--group-size", "1"], "--group-size: expected at least 2"),
        (["--batch-size", "10", "--group-size", "4"], "multiple of --group-size"),
        (["--learning-rate", "0"], "above 0"),
        (["--policy", "nowhere"], "expected a trained policy at nowhere"),
    ],
)
def test_wrong_training_arguments(tmp_path, change, message):
    with pytest.raises(AgentError, match=message):
        train.main(["--env", "OSPO-ESCI-v0", "--out", str(tmp_path / "run"), *change])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--retriever", "bm52"], "did you mean 'bm25'"),
        (["--metric", "NDCG@10"], "did you mean 'nDCG@"),
        (["--env", "OSPO-ESCI-v9"], "OSPO-ESCI"),
        (["--data", "nowhere"], "expected a prepared directory at .*nowhere"),
    ],
)
def test_wrong_task_arguments(tmp_path, change, message):
    with pytest.raises((DataError, TaskError), match=message):
        train.main(["--env", "OSPO-ESCI-v0", "--out", str(tmp_path / "run"), *change])
    assert not (tmp_path / "run").exists()


def test_errors_are_one_line_with_exit_code_2(tmp_path):
    for name, *arguments in (
        ("train", "--env", "OSPO-ESCI-v0", "--retriever", "bm52", "--out", tmp_path / "run"),
        ("evaluate", "--env", "OSPO-ESCI-v0", "--policy", "nowhere"),
        ("evaluate", "--env", "OSPO-ESCI-v0", "--policy", "query", "--split", "tset"),
        ("evaluate", "--env", "OSPO-ESCI-v0", "--policy", tmp_path),
        ("prepare", "esci", "--source", tmp_path / "nowhere", "--out", tmp_path / "out"),
    ):
        done = program(name, *arguments)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["prepare", "train", "evaluate"])
def test_help(name):
    done = program(name, "--help")
    assert done.returncode == 0
    assert "usage:" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real data slices are not beside the checkout")
@pytest.mark.parametrize(("dataset", "env"), [("esci", "OSPO-ESCI-v0"), ("hm", "OSPO-HM-v0")])
def test_the_whole_path_on_real_files(tmp_path, dataset, env):
    import prepare

    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    prepare.main([dataset, "--source", str(SHARED_DATA / dataset), "--out", data])
    train.main(["--env", env, "--data", data, "--out", run, *QUICK])
    report = tmp_path / "eval.json"
    evaluate.main(
        ["--env", env, "--data", data, "--policy", "query", run, "--retrievers", "bm25", "--json", str(report)]
    )
    written = json.loads(report.read_text())
    assert written["synthetic"] is False
    assert written["queries"] > 100
