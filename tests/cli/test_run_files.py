"""What a run leaves for a reader: its log, its curves, its numbers."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from ospo_agents import AgentError
from ospo_agents.policies.language_model import LanguageModelPolicy
from ospo_agents.training import curves
from ospo_agents.training.curves import draw_curves, panels
from ospo_agents.training.run_directory import read_log
from ospo_cli._tasks import open_task
from paths import ROOT
from small_run import command, log, manifest, run

PNG = b"\x89PNG\r\n\x1a\n"


LOGGED = {
    "ospo": {"reward", "nDCG@10", "entropy", "completions/mean_length", "segments", "credit_spread", "malformed"}
    | {f"time/{stage}" for stage in ("generation", "scoring", "credit", "update")},
    "grpo": {"reward", "nDCG@10", "entropy", "completions/mean_length", "malformed", "step_time"},
    "dpo": {"rewards/accuracies", "rewards/margins", "entropy"},
    "sft": {"entropy", "mean_token_accuracy"},
}
EVALUATIONS = {"evaluations/asked", "evaluations/distinct", "evaluations/cached"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, warm_started):
    directory = tmp_path_factory.mktemp("runs")
    long = {"dpo": {"max_completion_length": 48}}  # pairs are of completions that the policy ended
    return {name: run(directory / name, **warm_started, steps=3, algo=name, **long.get(name, {})) for name in LOGGED}


@pytest.mark.parametrize("algo", LOGGED)
def test_every_step_is_logged(runs, algo):
    rows = log(runs[algo])
    assert [row["step"] for row in rows] == [1, 2, 3]
    for row in rows:
        missing = (LOGGED[algo] | EVALUATIONS | {"loss", "seconds"}) - set(row)
        assert not missing
    if "reward" in rows[0]:
        assert all(row["reward"] == row["nDCG@10"] for row in rows)


@pytest.mark.parametrize("algo", LOGGED)
def test_a_run_says_what_it_spent(runs, algo):
    spent = manifest(runs[algo])
    assert spent["rollouts"] == (0 if algo == "sft" else 24)
    asked = log(runs[algo])[-1]["evaluations/asked"]
    assert spent["evaluations"]["asked"] == asked
    if algo == "ospo":
        assert asked > 24
    else:
        assert asked == spent["rollouts"]
    assert spent["seconds"] > 0
    assert ("groups_without_spread" in spent) == (algo == "dpo")


@pytest.mark.parametrize("algo", LOGGED)
def test_curves_are_drawn(runs, algo):
    assert (runs[algo] / "curves.png").read_bytes().startswith(PNG)
    drawn = panels(log(runs[algo]))
    wanted = {"loss", "entropy (nats a token)", "evaluations since the start"}
    if algo in ("ospo", "grpo"):
        wanted |= {"reward", "length (tokens)"}
    if algo == "ospo":
        wanted |= {"segments a rollout", "credit spread"}
    assert wanted <= set(drawn)
    assert ("segments a rollout" in drawn) == (algo == "ospo")
    assert drawn["loss"] == {"loss": ([1, 2, 3], [row["loss"] for row in log(runs[algo])])}


@pytest.mark.slow
def test_two_processes_write_one_run(tmp_path, runs):
    """As `accelerate launch` starts them; the first one writes, and each draws half of the rollouts."""
    out = tmp_path / "run"
    settings = {"data": manifest(runs["ospo"])["arguments"]["data"], "steps": 3, "save_steps": 2}
    settings |= {"eval_steps": 2, "keep": "best", "warm_start_epochs": 8}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, str(ROOT / "scripts" / "train.py"), *command(out, **settings)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Wrote ") == 1
    assert [row["step"] for row in log(out)] == [1, 2, 3]
    assert (manifest(out)["processes"], manifest(out)["rollouts"]) == (2, 24)
    assert manifest(out)["evaluations"]["asked"] == read_log(out)[-1]["evaluations/asked"] > 24
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in runs["ospo"].iterdir())
    values = {row["step"]: row["eval_reward"] for row in read_log(out) if "eval_reward" in row}
    assert list(values) == [0, 2, 3]
    assert manifest(out)["validation"]["best"] == max(values.values()) == greedy_reward(out)
    (out / "run.json").write_text(json.dumps(manifest(out) | {"status": "unfinished"}))
    with pytest.raises(AgentError, match=r"another number of processes \(2, now 1\)"):
        run(out, "--resume")


def greedy_reward(out):
    """The mean reward of a run's policy on the validation prompts, asked again."""
    arguments = manifest(out)["arguments"]
    task = open_task(arguments["env"], Path(arguments["data"]), split="validation", retriever="bm25", metric="nDCG@10")
    ids, prompts = task.prompts("validation")
    return float(task.rewards(ids, LanguageModelPolicy.open(out)(ids, prompts)).mean())


def test_curves_of_odd_logs(tmp_path):
    """Nothing logged, one step, and numbers that are none."""
    rows = [{"step": 1, "loss": 1.0, "reward": None}, {"step": 2, "loss": float("nan"), "seconds": 1.0}]
    assert panels(rows) == {"loss": {"loss": ([1], [1.0])}}
    for number, some in enumerate([[], rows[:1], rows, [*rows, {"step": 2, "train_runtime": 3.0}]]):
        draw_curves(some, tmp_path / f"{number}.png", title="odd", metric="nDCG@10")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(PNG)


def test_curves_show_what_was_logged(tmp_path):
    """A picture of other numbers is another picture."""
    rows = [{"step": step, "loss": 1.0, "reward": step / 10} for step in range(1, 5)]
    pictures = []
    for name, scale in (("a", 1), ("b", 1), ("c", -1)):
        changed = [{**row, "reward": row["reward"] * scale} for row in rows]
        draw_curves(changed, tmp_path / name, title="t", metric="m")
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_long_labels_stay_in_the_picture(tmp_path, monkeypatch):
    rows = [{"step": step, "loss": -1.2e-4 * step, "reward": 0.5} for step in (1, 2)]

    def is_cut(name):
        draw_curves(rows, tmp_path / name, title="a title", metric="nDCG@10")
        pixels = imread(tmp_path / name)
        edges = (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])
        return any((edge != 1).any() for edge in edges)  # all white

    assert not is_cut("a.png")
    monkeypatch.setattr(curves, "_MARGINS", (0.3, 0.45, 0.1, 0.3))
    assert is_cut("b.png")  # negative control


def test_logs_are_json_lines(runs):
    stream = io.StringIO((runs["ospo"] / "log.jsonl").read_text())
    assert all(isinstance(json.loads(line), dict) for line in stream)
