"""The reward of training out of several retrievers and a contrast: asked for, recorded, resumed, said."""

import json

import numpy as np
import pytest

from ospo_agents import AgentError
from ospo_agents.training.curves import panels
from ospo_cli import evaluate, train
from ospo_cli._arguments import parse
from ospo_cli._report.curves import rewards as rewards_of
from ospo_cli._report.runs import read_runs
from ospo_cli._reward_settings import RewardSettings
from ospo_cli._tasks import open_task
from ospo_env import ContrastTask, MeanTask, TaskError
from small_run import command, log, manifest, run, write_data

ENV = "OSPO-ESCI-v0"
REWARD = {"reward_retrievers": "bm25,lsa?dimensions=8", "contrast": 2, "compose": "append"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("reward"))


@pytest.fixture(scope="module")
def rewarded(tmp_path_factory, data):
    out = tmp_path_factory.mktemp("runs") / "rewarded"
    return run(out, data=data, steps=2, warm_start_epochs=1, eval_steps=1, **REWARD)


def test_a_run_remembers_its_reward_and_reports_the_metric(rewarded, data):
    arguments = manifest(rewarded)["arguments"]
    assert (arguments["reward_retrievers"], arguments["contrast"]) == (["bm25", "lsa?dimensions=8"], 2)
    assert (arguments["retriever"], arguments["calls"]) == ("bm25", 0), "all coalitions are sums"
    for row in log(rewarded):
        assert 0.2 < row["reward"] < 0.8, "a contrast is about a half"
        assert row["nDCG@10"] == row["metric"] != row["reward"]
    rows = [json.loads(line) for line in (rewarded / "log.jsonl").read_text().splitlines()]
    values = [row for row in rows if "eval_reward" in row]
    assert len(values) == 3
    tasks = [open_task(ENV, data, split="train", retriever=name, metric="nDCG@10", compose="append") for name in
             arguments["reward_retrievers"]]  # fmt: skip
    from ospo_agents.policies.language_model import LanguageModelPolicy

    ids, prompts = tasks[0].prompts("validation")
    texts = LanguageModelPolicy.open(rewarded)(ids, prompts)
    assert values[-1]["eval_reward"] == pytest.approx(np.mean([task.rewards(ids, texts) for task in tasks]))
    assert values[-1]["eval_nDCG@10"] == values[-1]["eval_reward"]


def test_other_programs_know_what_it_has_seen(rewarded, data, capsys):
    evaluate.main(
        ["--env", ENV, "--data", str(data), "--policy", str(rewarded), "--retrievers", "bm25,lsa?dimensions=8,chargram"]
    )
    assert "Trained on bm25, lsa?dimensions=8; never seen in training: chargram." in capsys.readouterr().out


def test_a_report_shows_the_metric(rewarded, data):
    (one,) = read_runs([rewarded])
    assert rewards_of(one) == [(row["step"], row["nDCG@10"]) for row in log(rewarded)]
    assert {"metric of rollouts", "reward"} <= panels(log(rewarded)).keys()


def unfinished(rewarded, tmp_path, **changed):
    """The record of the run, as if it had been interrupted before its warm start."""
    content = manifest(rewarded)
    content["status"] = "unfinished"
    content["arguments"] |= {**changed, "out": str(tmp_path / "run")}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(content))
    return tmp_path / "run"


def test_a_run_that_goes_on_keeps_it(rewarded, tmp_path):
    out = unfinished(rewarded, tmp_path)
    resumed = parse(command(out, "--resume"))
    assert resumed.reward == RewardSettings(reward_retrievers=("bm25", "lsa?dimensions=8"), contrast=2)
    with pytest.raises(AgentError, match=r"was started with --contrast 2 \(now 1\)"):
        parse(command(out, "--resume", contrast=1))
    with pytest.raises(AgentError, match="started with --reward-retrievers"):
        parse(command(out, "--resume", reward_retrievers="bm25"))


def test_a_run_from_before_has_none(rewarded, tmp_path):
    out = unfinished(rewarded, tmp_path)
    content = manifest(out)
    for name in ("reward_retrievers", "contrast"):
        del content["arguments"][name]
    (out / "run.json").write_text(json.dumps(content))
    assert parse(command(out, "--resume")).reward == RewardSettings()
    with pytest.raises(AgentError, match=r"was started with --contrast 0 \(now 3\)"):
        parse(command(out, "--resume", contrast=3))


def test_a_file_names_no_code(rewarded, tmp_path):
    out = unfinished(rewarded, tmp_path, reward_retrievers=["bm25", "pty:spawn"])
    with pytest.raises(AgentError, match="if you trust it, repeat it: --reward-retrievers pty:spawn"):
        parse(command(out, "--resume"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--reward-retrievers", "lsa,bm25", "--retriever", "dense"],
            "expected --retriever 'dense' among lsa, bm25",
        ),
        (["--reward-retrievers", "bm25,bm25"], "--reward-retrievers: expected each name once; got bm25, bm25"),
        (["--reward-retrievers", ","], "--reward-retrievers: expected names, for example bm25,lsa"),
        (["--contrast", "-1"], "--contrast: expected a whole number of at least 0, got -1"),
    ],
)
def test_what_cannot_be_is_one_line(flags, message, tmp_path):
    with pytest.raises(AgentError, match=message) as error:
        parse(["--env", ENV, "--out", str(tmp_path / "run"), *flags])
    assert "\n" not in str(error.value)


def test_too_large_a_contrast_is_told_before_anything_is_written(data, tmp_path):
    with pytest.raises(TaskError, match="expected contrast below the number of training queries, 13; got 13"):
        train.main(command(tmp_path / "run", data=data, contrast=13))
    assert not (tmp_path / "run").exists()


def test_the_first_of_the_retrievers_is_that_of_titles_where_none_is_named(tmp_path):
    flags = ["--env", ENV, "--out", str(tmp_path / "run"), "--reward-retrievers", "lsa,chargram"]
    asked = parse(flags)
    assert (asked.task.retriever, asked.retrievers) == ("lsa", "lsa,chargram")
    assert parse(flags[:4]).retrievers == "bm25"


def test_tasks_that_are_opened(data):
    task = open_task(ENV, data, split="train", retriever="bm25", metric="RR", compose="append", query_weight=2)
    assert RewardSettings().open(task, "bm25", 0) is task
    mean = RewardSettings(reward_retrievers=("chargram", "bm25")).open(task, "bm25", 0)
    assert isinstance(mean, MeanTask)
    assert mean.tasks[1] is task
    assert (mean.tasks[0].retriever.name, mean.tasks[0].metric, mean.tasks[0].query_weight) == ("chargram", "RR", 2)
    contrasting = RewardSettings(reward_retrievers=("bm25",), contrast=2).open(task, "bm25", 5)
    assert isinstance(contrasting, ContrastTask)
    assert contrasting.task is task
    ids = task.prompts("train")[0]
    assert [contrasting.others(key) for key in ids] == [ContrastTask(task, 2, 5).others(key) for key in ids]
