"""Agents of Stable-Baselines3: a real run of a few steps, read by evaluation as it was trained."""

import json
import shutil

import gymnasium as gym
import pytest
import torch

from ospo_agents import AgentError
from ospo_cli import evaluate, train_sb3
from ospo_cli._sb3 import VIEWS, algorithm, is_sb3_policy, open_sb3_policy
from ospo_env import TaskError
from ospo_env.wrappers import KeywordActions, VectorObservation
from small_run import write_data

QUICK = ["--env", "OSPO-ESCI-v0", "--steps", "128", "--phrases", "8", "--encoder", "lsa?dimensions=16"]
SETTINGS = {"ppo": "{n_steps: 4, batch_size: 64}", "a2c": "{n_steps: 4}", "dqn": "{learning_starts: 16}"}


def train(out, algo="ppo", *more):
    train_sb3.main([*QUICK, "--algo", algo, "--settings", SETTINGS[algo], "--out", str(out), *more])
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("sb3")
    return {algo: train(out / algo, algo) for algo in SETTINGS}


@pytest.fixture(scope="module")
def task():
    return gym.make("OSPO-ESCI-v0").unwrapped.task


def test_a_run_holds_what_it_says(runs):
    for algo, out in runs.items():
        assert {path.name for path in out.iterdir()} == {"policy", "log.jsonl", "curves.png", "run.json"}
        manifest = json.loads((out / "run.json").read_text())
        assert (manifest["status"], manifest["arguments"]["algo"], manifest["rollouts"]) == ("finished", algo, 128)
        rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        assert rows[-1]["step"] == 128
        assert all(0 <= row["nDCG@10"] <= 1 for row in rows)
        assert is_sb3_policy(out / "policy")
        assert not is_sb3_policy(out)


def test_evaluation_reads_runs_and_policies(runs, tmp_path, capsys):
    policies = [str(runs["ppo"]), str(runs["a2c"] / "policy"), str(runs["dqn"])]
    report = tmp_path / "eval.json"
    evaluate.main(["--env", "OSPO-ESCI-v0", "--split", "validation", "--policy", *policies, "--json", str(report)])
    rows = json.loads(report.read_text())["policies"]
    assert [rows[name]["stage"] for name in policies] == ["after RL"] * 3
    assert {rows[name]["trained_on"] for name in policies} == {"bm25"}
    assert len({rows[name]["metrics"]["bm25"]["nDCG@10"] for name in policies}) > 1
    assert "Trained on bm25; never seen in training: lsa." in capsys.readouterr().out


def test_an_opened_policy_writes_what_the_agent_chose(runs, task):
    views = json.loads((runs["ppo"] / "policy" / VIEWS).read_text())
    env = VectorObservation(KeywordActions(gym.make("OSPO-ESCI-v0"), **views["actions"]), views["encoder"])
    model = algorithm("ppo").load(runs["ppo"] / "policy" / "model.zip", device="cpu")
    ids, prompts = task.prompts("train")
    texts = open_sb3_policy(runs["ppo"] / "policy", task)(ids[:20], prompts[:20])
    for query_id, text in zip(ids[:20], texts, strict=True):
        observation, _ = env.reset(options={"query_id": query_id})
        assert env.step(model.predict(observation, deterministic=True)[0])[4]["rewrite"] == text
    assert open_sb3_policy(runs["ppo"] / "policy", task)([], []) == []


def test_the_same_seed_is_the_same_policy(runs, tmp_path):
    def weights(out):
        model = algorithm("ppo").load(out / "policy" / "model.zip", device="cpu")
        return torch.cat([tensor.flatten() for tensor in model.policy.state_dict().values()])

    assert torch.equal(weights(runs["ppo"]), weights(train(tmp_path / "again")))
    assert not torch.equal(weights(runs["ppo"]), weights(train(tmp_path / "other", "ppo", "--seed", "1")))


def test_a_policy_is_refused_where_its_vectors_mean_something_else(runs, task, tmp_path):
    data = write_data(tmp_path)
    other = gym.make("OSPO-ESCI-v0", data=str(data)).unwrapped.task
    with pytest.raises(AgentError, match="evaluate it on the data of its training"):
        open_sb3_policy(runs["dqn"] / "policy", other)
    copy = tmp_path / "policy"
    shutil.copytree(runs["dqn"] / "policy", copy)
    (copy / "model.zip").write_bytes(b"no zip")
    with pytest.raises(AgentError, match="cannot be opened"):
        open_sb3_policy(copy, task)
    for content in ("no json", "[]", '{"kind": "other"}'):
        (copy / VIEWS).write_text(content)
        with pytest.raises(AgentError, match=VIEWS):
            open_sb3_policy(copy, task)


def test_evaluation_does_not_sample_from_it(runs):
    with pytest.raises(AgentError, match="takes its best action; leave it at 0"):
        evaluate.main(["--env", "OSPO-ESCI-v0", "--policy", str(runs["dqn"]), "--temperature", "1"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (["--algo", "dqn", "--actions", "multibinary"], AgentError, "use templates"),
        (["--algo", "dqn", "--most", "2"], AgentError, "leave it out with templates"),
        (["--steps", "0"], AgentError, "--steps: expected at least 1"),
        (["--phrases", "0"], AgentError, "--phrases: expected at least 1"),
        (["--settings", "{steps: 3}"], AgentError, "--settings: ppo does not take them"),
        (["--settings", "{gamma: 0.9}"], AgentError, "gamma is 0"),
        (["--settings", "7"], AgentError, "--settings: expected a mapping"),
        (["--settings", "{learning_rate: 0}"], AgentError, "learning_rate as a finite number above 0"),
        (["--encoder", "bm25"], TaskError, "'bm25' has no vectors"),
        (["--template", "{words}"], TaskError, "unknown field"),
        (["--env", "CartPole-v1"], TaskError, "expected an environment of this project"),
    ],
)
def test_bad_input_is_reported_before_anything_is_written(tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        train_sb3.main([*QUICK, "--out", str(tmp_path / "run"), *change])
    assert not (tmp_path / "run").exists()


def test_an_earlier_run_is_kept(runs):
    with pytest.raises(AgentError, match="--overwrite"):
        train(runs["ppo"])
