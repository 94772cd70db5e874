"""Presets are settings that exist, and the published ones are what the credit's own table says."""

import json

import pytest
import yaml

from chat_models import chat_model, chat_tokenizer
from ospo_agents import AgentError
from ospo_agents.advantages import PAPER
from ospo_agents.policies.language_model import load_policy, save_policy
from ospo_agents.policies.prompt_format import INSTRUCTION, PromptFormat
from ospo_agents.training.learners import LEARNERS
from ospo_cli import train
from ospo_cli._arguments import parse
from ospo_cli._train_options import PRESETS
from ospo_env import TaskError
from small_run import log, manifest, write_data

NAMES = sorted(path.stem for path in PRESETS.glob("*.yaml"))
# What a test cannot have: a model and a retriever from a hub, a GPU for 4 bits, and time.
SMALL = ["--retriever", "bm25", "--no-load-4bit", "--steps", "1", "--batch-size", "8", "--group-size", "4"]
SMALL += ["--gradient-accumulation", "2", "--max-completion-length", "24", "--warm-start-epochs", "0.05"]


@pytest.fixture(scope="module")
def chat_policy(tmp_path_factory):
    """A general chat model, as a hub has them."""
    path = tmp_path_factory.mktemp("models") / "chat"
    tokenizer = chat_tokenizer()
    save_policy(path, chat_model(tokenizer), tokenizer, PromptFormat())
    for name in ("prompt_format.json", "digests.json"):
        (path / name).unlink()
    return path


def test_presets_are_these():
    assert NAMES == ["demo", "paper-esci", "paper-hm"]


@pytest.mark.parametrize("name", NAMES)
def test_one_step_with_each_preset(tmp_path, chat_policy, name):
    out = tmp_path / "run"
    policy = [] if name == "demo" else ["--policy", str(chat_policy)]
    train.main(["--preset", name, "--out", str(out), *SMALL, *policy])
    assert len(log(out)) == 1
    values = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    changed = {"retriever", "policy", "load_4bit", "steps", "batch_size", "group_size", "gradient_accumulation"}
    changed |= {"max_completion_length", "warm_start_epochs"}
    used = manifest(out)["arguments"]
    assert {key: used[key] for key in values if key not in changed} == {
        key: value for key, value in values.items() if key not in changed
    }
    _, _, prompt_format = load_policy(out)
    assert prompt_format == (PromptFormat() if name == "demo" else PromptFormat(INSTRUCTION, answer_tags=True))
    assert (out / "policy" / "adapter_config.json").exists() == (name == "paper-esci")


@pytest.mark.parametrize("dataset", ["esci", "hm"])
def test_published_settings(dataset):
    values = yaml.safe_load((PRESETS / f"paper-{dataset}.yaml").read_text())
    assert {name: values[name] for name in PAPER[dataset]} == PAPER[dataset]
    assert (values["group_size"], values["learning_rate"], values["credit_separators"]) == (8, 5e-6, True)


@pytest.mark.parametrize("algo", LEARNERS)
@pytest.mark.parametrize("name", NAMES)
def test_every_learner_takes_every_preset(tmp_path, name, algo):
    """What a learner does not have is left out of the preset, but not out of the command line."""
    settings = parse(["--preset", name, "--algo", algo, "--out", str(tmp_path / "run")]).settings
    assert settings.algo == algo
    assert (settings.solution is None) == (algo != "ospo")
    if algo != "ospo":
        with pytest.raises(AgentError, match="--solution is of --algo ospo"):
            parse(["--preset", name, "--algo", algo, "--out", str(tmp_path / "run"), "--solution", "contiguous"])


def test_a_retriever_that_is_not_there_is_said(tmp_path):
    with pytest.raises(TaskError, match=r"dense:all-mpnet-base-v2.*--retriever bm25") as caught:
        train.main(["--preset", "paper-esci", "--out", str(tmp_path / "run")])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_presets_are_checked(tmp_path, monkeypatch):
    from ospo_cli import _train_options

    monkeypatch.setattr(_train_options, "PRESETS", tmp_path)
    (tmp_path / "mine.yaml").write_text("env: OSPO-ESCI-v0\nstesp: 3\n")
    with pytest.raises(AgentError, match=r"unknown setting of the preset .*mine.yaml: 'stesp'; did you mean 'steps'"):
        parse(["--preset", "mine", "--out", str(tmp_path / "run")])


@pytest.mark.parametrize(("name", "hint"), [("dmeo", "did you mean 'demo'"), ("../presets/demo", "unknown preset")])
def test_an_unknown_preset_is_told(tmp_path, name, hint):
    with pytest.raises(AgentError, match=hint):
        parse(["--preset", name, "--out", str(tmp_path / "run")])


def test_data_may_be_named_beside_a_preset(tmp_path):
    data = write_data(tmp_path)
    train.main(["--preset", "demo", "--data", str(data), "--out", str(tmp_path / "run"), *SMALL])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["arguments"]["data"] == str(data)
