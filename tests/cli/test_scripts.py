"""The three programs as a user runs them: a whole path on a small data set, and bad input."""

import contextlib
import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import termios

import pytest

from envs_data import DataError
from ospo_agents import AgentError
from ospo_cli import evaluate, train
from ospo_env import TaskError
from paths import ROOT, SHARED_DATA
from programs import ospo

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
    assert {path.name for path in trained.iterdir()} == {"policy", "warmstart", "log.jsonl", "curves.png", "run.json"}
    run = json.loads((trained / "run.json").read_text())
    assert run["synthetic"] is True
    assert run["arguments"]["steps"] == 2
    assert run["command"] == shlex.join(["ospo", "train", "--env", "OSPO-ESCI-v0", "--out", str(trained), *QUICK])
    assert {"python", "torch", "trl"} <= set(run["versions"])
    assert run["status"] == "finished"
    rows = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "reward" in row] == [1, 2]


def test_training_shows_its_bars_and_nothing_else(tmp_path):
    """On a terminal, the log apart."""
    terminal, side = pty.openpty()
    termios.tcsetwinsize(side, (24, 160))
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "--env", "OSPO-ESCI-v0", *QUICK]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=side, text=True, cwd=ROOT
    )
    os.close(side)
    drawn = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while block := os.read(terminal, 4096):
            drawn += block
    os.close(terminal)
    written = "policy/ (after RL), warmstart/ (before), log.jsonl, curves.png, run.json"
    assert process.communicate()[0] == f"Wrote {tmp_path / 'run'}: {written}\n"
    assert process.returncode == 0
    lines = drawn.decode().replace("\r", "\n").splitlines()
    lines = [line for line in lines if line.strip(" \x1b[A")]
    assert re.search(r"ospo: +100%.* 2/2 \[\d\d:\d\d<00:00, .*reward \(nDCG@10\)=0\.\d{3}", lines[-1]), lines[-1]
    assert all(line.startswith(("warm start:", "ospo:")) for line in lines), lines


def test_nothing_is_drawn_into_a_log_file(tmp_path):
    """Two trainings and an evaluation, one after the other in one process."""
    env, out = ("--env", "OSPO-ESCI-v0"), tmp_path / "dpo"
    commands = [["train", *env, "--algo", algo, "--out", str(tmp_path / algo), *QUICK] for algo in ("ospo", "dpo")]
    commands.append(["evaluate", *env, "--policy", "query", str(out), "--retrievers", "bm25,lsa"])
    code = f"""
import sys
from ospo_cli.main import main
for command in {commands!r}:
    sys.argv = ["ospo", *command]
    try:
        main()
    except SystemExit as left:
        print("left", left.code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line.startswith("left")] == ["left 0"] * 3


def test_every_bar_asks_whether_it_is_on_a_terminal():
    """One function makes those of programs and learners; environments, which know neither, have two of their own."""
    bars = {
        path.relative_to(ROOT).as_posix(): re.findall(r"\btqdm\(.*", path.read_text())
        for package in ("agents", "scripts", "ospo_env", "envs_data")
        for path in (ROOT / package).rglob("*.py")
    }
    makers = {path: calls for path, calls in bars.items() if calls}
    allowed = {"agents/ospo_agents/progress_bar.py", "ospo_env/retrievers/terms.py", "ospo_env/retrievers/dense.py"}
    assert set(makers) == allowed
    assert all("disable=None" in call for calls in makers.values() for call in calls)


def test_evaluate_prints_a_table_and_writes_json(trained, tmp_path, capsys):
    report = tmp_path / "eval.json"
    policies = ["query", "oracle", "random", str(trained)]
    evaluate.main(["--env", "OSPO-ESCI-v0", "--split", "validation", "--policy", *policies, "--json", str(report)])
    rows = json.loads(report.read_text())["policies"]
    assert list(rows) == policies
    assert all(set(row["metrics"]) == {"bm25", "lsa"} for row in rows.values())
    printed = capsys.readouterr().out
    for name in policies:
        line = next(line for line in printed.splitlines() if line.startswith(name + " "))
        assert line.split()[-6] == f"{rows[name]['metrics']['bm25']['nDCG@10']:.3f}"
    assert rows["oracle"]["metrics"]["bm25"]["nDCG@10"] > rows["query"]["metrics"]["bm25"]["nDCG@10"]
    assert (rows[str(trained)]["stage"], rows[str(trained)]["trained_on"]) == ("after RL", "bm25")
    assert "(after RL)" in printed
    assert "Trained on bm25; never seen in training: lsa." in printed


def test_an_earlier_run_is_kept(trained):
    before = (trained / "run.json").read_bytes()
    with pytest.raises(AgentError, match=r"choose another directory \(--out\), or replace it"):
        train.main(["--env", "OSPO-ESCI-v0", "--out", str(trained), *QUICK])
    assert (trained / "run.json").read_bytes() == before


def test_what_is_not_a_run_is_kept(tmp_path):
    mine = tmp_path / "out" / "policy" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(AgentError, match="not of a run"):
        train.main(["--env", "OSPO-ESCI-v0", "--out", str(tmp_path / "out"), "--overwrite", *QUICK])
    assert mine.read_text() == "mine"


def test_an_interrupted_overwrite_leaves_no_old_policy(trained, tmp_path, monkeypatch):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    for name in ("eval.json", "report.html"):
        (out / name).write_text("{}")
    from ospo_agents.training import stages

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "make_trainer", interrupted)
    command = ["--env", "OSPO-ESCI-v0", "--out", str(out), "--overwrite", *QUICK]
    with pytest.raises(KeyboardInterrupt):
        train.main(command)
    assert not (out / "policy").exists()
    assert not (out / "report.html").exists()
    assert (out / "eval.json").read_text() == "{}"
    assert json.loads((out / "run.json").read_text())["status"] == "unfinished"
    with pytest.raises(AgentError, match="--overwrite"):
        train.main([word for word in command if word != "--overwrite"])


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
        (["--learning-rate", "nan"], "above 0"),
        (["--temperature", "inf"], "above 0"),
        (["--warm-start-epochs", "-1"], "at least 0"),
        (["--max-completion-length", "0"], "--max-completion-length: expected at least 1"),
        (["--seed", "-1"], "--seed: expected at least 0"),
        (["--seed", str(2**63)], "--seed"),
        (["--policy", "./nowhere"], "expected a trained policy at nowhere"),
        (["--policy", "nowhere"], "'nowhere' is no directory here"),
        (["--segmenter", "phrase"], "did you mean 'phrases'"),
        (["--solution", "shaply"], "did you mean 'shapley'"),
        (["--redistribution", "prp"], "did you mean 'prop'"),
        (["--solution-settings", "{widht: 3}"], "did you mean|unknown"),
        (["--solution-settings", "3"], "expected a mapping"),
        (["--algo", "grpo", "--solution", "myerson"], "--solution is of --algo ospo"),
        (["--algo", "sft", "--kl", "0.1"], "--kl is of --algo ospo, grpo, rloo, dpo"),
        (["--algo", "rloo", "--loss-type", "dapo"], "--loss-type is of --algo ospo, grpo"),
        (["--algo", "dpo", "--vllm", "server"], "--vllm is of --algo ospo, grpo, rloo"),
        (["--loss-type", "luspo"], "credit would be lost"),
        (["--loss-type", "vespo"], "--loss-type vespo weights a whole completion by the sign of its one advantage"),
        (["--redistribution", "potential"], "only with --solution prefix_potential, but got sampled_shapley"),
        (["--algo", "dpo", "--kl", "0"], "--kl: expected a finite number above 0"),
        (["--kl", "-1"], "--kl: expected a finite number of at least 0"),
        (["--warm-start-learning-rate", "0"], "above 0"),
        (["--gradient-accumulation", "3"], "which 3 parts"),
        (["--algo", "dpo", "--gradient-accumulation", "16"], "in pairs, one a group, gives 8 examples"),
        (["--num-iterations", "0"], "--num-iterations: expected at least 1"),
        (["--num-iterations", "3", "--save-steps", "4"], "multiple of --num-iterations 3"),
        (["--save-steps", "-1"], "--save-steps: expected at least 0"),
        (["--lora-rank", "4"], "--lora-rank needs a trained --policy"),
        (["--load-4bit"], "add --lora-rank"),
        (["--batch-size", "16000"], "prompts a step, but the train split has"),
    ],
)
def test_wrong_training_arguments(tmp_path, change, message):
    with pytest.raises(AgentError, match=message):
        train.main(["--env", "OSPO-ESCI-v0", "--out", str(tmp_path / "run"), *change])
    assert not (tmp_path / "run").exists()


def test_vllm_must_be_there(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AgentError, match="needs the package vllm"):
        train.main(["--env", "OSPO-ESCI-v0", "--out", str(tmp_path / "run"), "--vllm", "colocate"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--retriever", "bm52"], "did you mean 'bm25'"),
        (["--metric", "NDCG@10"], "did you mean 'nDCG@"),
        (["--env", "OSPO-ESCI-v9"], "OSPO-ESCI"),
        (["--env", "CartPole-v1"], "expected an environment of this project"),
        (["--env", "nomodule:OSPO-ESCI-v0"], "nomodule"),
        (["--data", "nowhere"], "expected a prepared directory at .*nowhere"),
    ],
)
def test_wrong_task_arguments(tmp_path, change, message):
    with pytest.raises((DataError, TaskError), match=message):
        train.main(["--env", "OSPO-ESCI-v0", "--out", str(tmp_path / "run"), *change])
    assert not (tmp_path / "run").exists()


def is_one_line(done):
    return done.returncode == 2 and len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")


def test_errors_are_one_line_with_exit_code_2(tmp_path):
    for arguments in (
        ("train", "--env", "OSPO-ESCI-v0", "--retriever", "bm52", "--out", tmp_path / "run"),
        ("evaluate", "--env", "OSPO-ESCI-v0", "--policy", "nowhere"),
        ("evaluate", "--env", "OSPO-ESCI-v0", "--policy", "query", "--split", "tset"),
        ("evaluate", "--env", "OSPO-ESCI-v0", "--policy", tmp_path),
        ("evaluate", "--env", "OSPO-ESCI-v0", "--policy", "query", "--json", "/dev/null/x.json"),
        ("evaluate", "--policy", "query"),
        ("explain", "--text", "red shoe"),
        ("report", "--run", tmp_path),
        ("train", "--preset", "dmeo", "--out", tmp_path / "run"),
        ("train", "--env", "OSPO-ESCI-v0", "--algo", "ppo", "--out", tmp_path / "run"),
        ("train", "--resume", "--out", tmp_path / "run"),
        ("train", "--env", "OSPO-ESCI-v0", "--out", "/dev/null/run"),
        ("prepare", "esci", "--source", tmp_path, "--out", tmp_path / "out", "--pool-size", "ten"),
        ("prepare", "esci", "--source", tmp_path / "nowhere", "--out", tmp_path / "out"),
    ):
        done = ospo(*arguments)
        assert is_one_line(done), done
    assert list(tmp_path.iterdir()) == []
    assert not is_one_line(ospo("evaluate", "--help"))  # negative control


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("train", ["--env", "OSPO-ESCI-v0", "--retriever", "bm52", "--out", "nowhere"]),
        ("evaluate", ["--env", "OSPO-ESCI-v0", "--policy", "nowhere"]),
    ],
)
def test_errors_of_scripts_are_one_line_too(name, arguments):
    done = program(name, *arguments)
    assert is_one_line(done), done


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--policy", "qurey"], "did you mean 'query'"),
        (["--policy", "x" * 5000], "is none of them"),
        (["--temperature", "nan"], "--temperature"),
        (["--max-new-tokens", "0"], "--max-new-tokens"),
        (["--retrievers", ","], "at least one name"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_wrong_evaluation_arguments(change, message):
    with pytest.raises((AgentError, TaskError), match=message):
        evaluate.main(["--env", "OSPO-ESCI-v0", "--policy", "query", *change])


@pytest.mark.parametrize("name", ["prepare", "train", "evaluate", "explain", "report"])
def test_help(name):
    done = program(name, "--help")
    assert done.returncode == 0
    assert "usage:" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real data slices are not beside the checkout")
@pytest.mark.parametrize(
    ("dataset", "env", "fewer"), [("esci", "OSPO-ESCI-v0", []), ("hm", "OSPO-HM-v0", ["--max-queries", "1300"])]
)
def test_the_whole_path_on_real_files(tmp_path, dataset, env, fewer):
    """All documents; of the queries of H&M a third, for the time that training and evaluation take."""
    from ospo_cli import prepare

    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    prepare.main([dataset, "--source", str(SHARED_DATA / dataset), "--out", data, *fewer])
    train.main(["--env", env, "--data", data, "--out", run, *QUICK])
    report = tmp_path / "eval.json"
    evaluate.main(
        ["--env", env, "--data", data, "--policy", "query", run, "--retrievers", "bm25", "--json", str(report)]
    )
    written = json.loads(report.read_text())
    assert written["synthetic"] is False
    assert written["queries"] > 100
