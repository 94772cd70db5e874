"""Agents of Stable-Baselines3: a real run of a few steps, read by evaluation as it was trained."""

import base64
import contextlib
import io
import json
import pickle
import shlex
import shutil
import warnings
import zipfile
from pathlib import Path

import gymnasium as gym
import pytest
import torch

from ospo_agents import AgentError
from ospo_agents.training.lock import training_lock
from ospo_cli import evaluate, train_sb3
from ospo_cli._sb3 import VIEWS, algorithm, is_sb3_policy, open_sb3_policy
from ospo_cli._sb3_settings import ACTIONS, TEMPLATES, AgentSettings
from ospo_env import TaskError
from ospo_env.wrappers import KeywordActions, TemplateActions, VectorObservation
from ospo_env.wrappers.choices import KEYWORD_SPACES
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


@pytest.mark.parametrize("algo", SETTINGS)
def test_an_opened_policy_writes_what_the_agent_chose(runs, task, algo):
    """Beside Stable-Baselines3's own way to open it, which a run of one's own may take."""
    views = json.loads((runs[algo] / "policy" / VIEWS).read_text())
    wrapper = TemplateActions if algo == "dqn" else KeywordActions
    env = VectorObservation(wrapper(gym.make("OSPO-ESCI-v0"), **views["actions"]), views["encoder"])
    model = algorithm(algo).load(runs[algo] / "policy" / "model.zip", device="cpu")
    ids, prompts = task.prompts("train")
    policy = open_sb3_policy(runs[algo] / "policy", task)
    texts = policy(ids[:20], prompts[:20])
    for query_id, text in zip(ids[:20], texts, strict=True):
        observation, _ = env.reset(options={"query_id": query_id})
        assert env.step(model.predict(observation, deterministic=True)[0])[4]["rewrite"] == text
    assert policy([], []) == []


class Writes:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def with_member(policy, name, content):
    """The policy with another member in its ``model.zip``."""
    with zipfile.ZipFile(policy / "model.zip") as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(policy / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for member, value in {**members, name: content}.items():
            archive.writestr(member, value)


def saved(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


class TestNothingRuns:
    """``model.zip`` holds pickles; what lies in a directory is opened without running any of them."""

    @pytest.fixture
    def policy(self, runs, tmp_path):
        return shutil.copytree(runs["ppo"] / "policy", tmp_path / "policy")

    def test_the_settings_of_the_model_are_not_read(self, policy, task, tmp_path):
        """Stable-Baselines3 unpickles ``data``; here it may hold anything."""
        with zipfile.ZipFile(policy / "model.zip") as archive:
            data = json.loads(archive.read("data"))
        pickled = next(value for value in data.values() if isinstance(value, dict) and ":serialized:" in value)
        pickled[":serialized:"] = base64.b64encode(pickle.dumps(Writes(tmp_path / "ran"))).decode()
        with_member(policy, "data", json.dumps(data))
        before = open_sb3_policy(policy, task)(*some_prompts(task))
        assert len(before) == 5
        assert not (tmp_path / "ran").exists()
        with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
            algorithm("ppo").load(policy / "model.zip", device="cpu")
        assert (tmp_path / "ran").exists()  # the negative control

    def test_weights_are_only_weights(self, policy, task, tmp_path):
        with_member(policy, "policy.pth", saved({"weights": Writes(tmp_path / "ran")}))
        with pytest.raises(AgentError, match="cannot be opened") as caught:
            open_sb3_policy(policy, task)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "ran").exists()
        with zipfile.ZipFile(policy / "model.zip") as archive:
            torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=False)
        assert (tmp_path / "ran").exists()  # the negative control

    def test_a_bomb_is_not_unpacked(self, policy, task):
        with_member(policy, "policy.pth", bytes(50_000_000))
        with pytest.raises(AgentError, match="expected weights of at most"):
            open_sb3_policy(policy, task)

    @pytest.mark.parametrize("encoder", ["pty:spawn", "dense:/models/x", None, 3])
    def test_the_encoder_that_a_file_names(self, policy, task, encoder):
        views = json.loads((policy / VIEWS).read_text())
        (policy / VIEWS).write_text(json.dumps(views | {"encoder": encoder}))
        with pytest.raises(AgentError, match=r"--encoder|expected the name"):
            open_sb3_policy(policy, task)
        assert open_sb3_policy(policy, task, encoder=views["encoder"])(*some_prompts(task))

    @pytest.mark.parametrize(
        "change",
        [
            {"policy": {"net_arch": [64]}},
            {"policy": {"features_extractor_class": "os.system"}},
            {"policy": {"optimizer_class": "os.system"}},
            {"policy": {"unknown": 1}},
            {"policy": None},
            {"algo": "load"},
            {"algo": None},
            {"actions": {"phrases": ["a"], "most": 1, "unknown": 3}},
            {"actions": {"templates": ["{query.__class__}"]}},
            {"actions": 3},
        ],
    )
    def test_odd_views_end_in_one_line(self, policy, task, change):
        views = json.loads((policy / VIEWS).read_text())
        (policy / VIEWS).write_text(json.dumps(views | change))
        with pytest.raises(AgentError) as caught:
            open_sb3_policy(policy, task)
        assert "\n" not in str(caught.value)

    def test_a_run_of_before_says_how_to_train_it_again(self, runs, task, tmp_path):
        out = shutil.copytree(runs["dqn"], tmp_path / "run")
        views = json.loads((out / "policy" / VIEWS).read_text())
        del views["policy"]
        (out / "policy" / VIEWS).write_text(json.dumps(views | {"version": 1}))
        with pytest.raises(AgentError, match=r"train it again: ospo train-sb3 .*--overwrite$") as caught:
            open_sb3_policy(out / "policy", task)
        command = shlex.split(str(caught.value).partition("train it again: ")[2])
        arguments = json.loads((out / "run.json").read_text())["arguments"]
        parsed = train_sb3.parse(command[2:])
        assert parsed.recorded() == arguments | {"overwrite": True}


def some_prompts(task):
    ids, prompts = task.prompts("train")
    return ids[:5], prompts[:5]


def test_the_light_table_of_actions_is_that_of_the_environments():
    assert ACTIONS == (*KEYWORD_SPACES, TEMPLATES)


def test_two_trainings_into_one_directory(runs, tmp_path):
    out = shutil.copytree(runs["ppo"], tmp_path / "run")
    before = (out / "policy" / "model.zip").read_bytes()
    with training_lock(out), pytest.raises(AgentError, match="another process is training into"):
        train(out, "ppo", "--overwrite")
    assert (out / "policy" / "model.zip").read_bytes() == before


def test_settings_in_python():
    assert AgentSettings(algo="dqn").as_json()["actions"] == "templates"
    assert AgentSettings(algo="a2c", settings={"n_steps": 8}).settings["n_steps"] == 8
    with pytest.raises(AgentError, match="did you mean 'ppo'"):
        AgentSettings(algo="pp0").check()


def test_the_same_seed_is_the_same_policy(runs, tmp_path):
    def weights(out):
        model = algorithm("ppo").load(out / "policy" / "model.zip", device="cpu")
        return torch.cat([tensor.flatten() for tensor in model.policy.state_dict().values()])

    assert torch.equal(weights(runs["ppo"]), weights(train(tmp_path / "again")))
    assert not torch.equal(weights(runs["ppo"]), weights(train(tmp_path / "other", "ppo", "--seed", "1")))


def test_a_policy_is_refused_where_its_vectors_mean_something_else(runs, task, tmp_path):
    data = write_data(tmp_path)
    other = gym.make("OSPO-ESCI-v0", data=str(data)).unwrapped.task
    with pytest.raises(AgentError, match=r"vectors of lsa\?dim.* evaluate it on the data of its training"):
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
        (["--settings", "{n_stesp: 3}"], AgentError, "unknown setting of ppo 'n_stesp'; did you mean 'n_steps'"),
        (["--settings", "{n_steps: x}"], AgentError, "--settings: ppo does not take them"),
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
