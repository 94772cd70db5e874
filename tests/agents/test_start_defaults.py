"""Defaults by what training starts from: those of the tiny policy never reach a trained one, and what is asked wins."""

import dataclasses

import pytest

from ospo_agents import AgentError
from ospo_agents.training import TrainingSettings
from ospo_agents.training.learners import LEARNERS
from ospo_agents.training.run import changed_arguments
from ospo_agents.training.trainers import make_config
from ospo_cli._arguments import parse

NAMES = (
    "learning_rate",
    "warmup_steps",
    "kl",
    "gradient_accumulation",
    "warm_start_epochs",
    "warm_start_learning_rate",
)
TINY = (3e-4, 0, 0.0, 1, 3.0, 2e-3)
TRAINED = (2e-5, 25, 0.02, 2, 3.0, 2e-4)


def values(**settings):
    whole = TrainingSettings(**settings)
    whole.check()
    return tuple(getattr(whole, name) for name in NAMES)


@pytest.mark.parametrize("algo", LEARNERS)
def test_a_trained_policy_gets_its_own(algo):
    kl = {"dpo": 0.1, "sft": None}
    assert values(algo=algo) == (*TINY[:2], kl.get(algo, 0.0), *TINY[3:])
    assert values(algo=algo, policy="org/model") == (*TRAINED[:2], kl.get(algo, 0.02), *TRAINED[3:])


def test_rates_of_the_tiny_policy_are_ten_times_too_high_for_a_trained_one():
    assert 1e-5 <= TRAINED[0] <= 3e-5 < TINY[0] / 9
    assert 1e-4 <= TRAINED[5] <= 2e-4 < TINY[5] / 9


@pytest.mark.parametrize("policy", [None, "org/model"])
def test_what_is_asked_wins(policy):
    asked = dict(zip(NAMES, (1e-6, 3, 0.5, 4, 1.0, 1e-5), strict=True))
    assert values(policy=policy, **asked) == tuple(asked.values())
    zero = {"warmup_steps": 0, "kl": 0.0, "warm_start_epochs": 0}
    whole = TrainingSettings(policy=policy, **zero)
    assert {name: getattr(whole, name) for name in zero} == zero


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        ({"steps": 14}, "warmup_steps", 2),
        ({"steps": 1}, "warmup_steps", 1),
        ({"trl": {"warmup_ratio": 0.1}}, "warmup_steps", 0),
        ({"trl": {"lr_scheduler_type": "constant"}}, "warmup_steps", 0),
        ({"trl": {"lr_scheduler_type": "cosine"}}, "warmup_steps", 25),
        ({"batch_size": 9, "group_size": 3}, "gradient_accumulation", 1),
        ({"batch_size": 6, "group_size": 2, "algo": "dpo"}, "gradient_accumulation", 1),
        ({"redistribution": "potential", "solution": "prefix_potential"}, "kl", 0.0),
    ],
)
def test_defaults_go_with_the_other_settings(settings, name, value):
    whole = TrainingSettings(policy="org/model", **settings)
    whole.check()
    assert getattr(whole, name) == value


def test_they_reach_trl(tmp_path):
    config = make_config(TrainingSettings(policy="org/model"), tmp_path)
    assert (config.learning_rate, config.beta, config.gradient_accumulation_steps) == (2e-5, 0.02, 2)
    assert (config.lr_scheduler_type, config.warmup_steps, config.per_device_train_batch_size) == (
        "constant_with_warmup", 25, 32,
    )  # fmt: skip
    config = make_config(TrainingSettings(warmup_steps=4), tmp_path)
    assert (config.lr_scheduler_type, config.warmup_steps, config.beta) == ("constant_with_warmup", 4, 0.0)
    config = make_config(TrainingSettings(), tmp_path)
    assert (config.lr_scheduler_type, config.warmup_steps) == ("constant", 0)


def test_values_that_were_used_are_recorded():
    recorded = TrainingSettings(policy="org/model").as_json()
    assert tuple(recorded[name] for name in NAMES) == TRAINED
    assert TrainingSettings.of(recorded) == TrainingSettings(policy="org/model")


def test_runs_from_before_keep_their_meaning():
    """They name every value but the warm-up, of which they had none."""
    before = {**TrainingSettings(policy="org/model", learning_rate=1e-5).as_json()}
    for name in ("warmup_steps", "patience"):
        del before[name]
    assert TrainingSettings.recorded(before).warmup_steps == 0
    now = TrainingSettings(policy="org/model", learning_rate=1e-5)
    assert changed_arguments(before, now.as_json()) == {"warmup_steps": (0, 25)}
    assert changed_arguments(before, dataclasses.replace(now, warmup_steps=0).as_json()) == {}


def test_the_paper_has_no_warm_up_and_its_own_kl(tmp_path):
    for preset, kl in (("paper-esci", 0.0), ("paper-hm", 0.1)):
        settings = parse(["--preset", preset, "--out", str(tmp_path / "run"), "--algo", "grpo"]).settings
        assert (settings.learning_rate, settings.warmup_steps, settings.kl) == (5e-6, 0, kl)


@pytest.mark.parametrize("name", ["steps", "batch_size", "trl", "algo", "learning_rate", "warmup_steps"])
def test_values_of_a_wrong_type_are_one_line(name):
    with pytest.raises(AgentError) as error:
        TrainingSettings(policy="org/model", **{name: "many"}).check()
    assert "\n" not in str(error.value)
