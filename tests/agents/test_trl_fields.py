"""Fields that go to TRL by their own names, those that this project decides, and the trainer that gets them."""

import dataclasses
import importlib.util

import pytest
import trl

from chat_models import chat_model, chat_tokenizer
from ospo_agents import AgentError
from ospo_agents.policies.language_model import save_policy
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.training import TrainingSettings, trl_fields
from ospo_agents.training.learners import LEARNERS
from ospo_agents.training.stages import make_policy
from ospo_agents.training.trainers import make_config
from toy_task import ToyTask


def config(tmp_path, trl=None, **settings):
    """TRL's settings as a run has them."""
    whole = TrainingSettings(trl=trl or {}, **settings)
    whole.check()
    return make_config(whole, tmp_path)


@pytest.mark.parametrize("algo", LEARNERS)
def test_fields_reach_every_learner(tmp_path, algo):
    fields = {
        "weight_decay": 0.1,
        "max_grad_norm": 0.5,
        "lr_scheduler_type": "cosine",
        "save_total_limit": 3,
        "optim": "sgd",
    }
    made = config(tmp_path, fields, algo=algo)
    assert {name: getattr(made, name) for name in fields} == fields
    plain = config(tmp_path, algo=algo)
    changed = {
        field.name for field in dataclasses.fields(made) if getattr(made, field.name) != getattr(plain, field.name)
    }
    assert changed <= set(fields) | {"_n_gpu", "distributed_state", "accelerator_config", "deepspeed_plugin"}


@pytest.mark.parametrize("algo", ["ospo", "grpo"])
def test_what_vllm_is_told(tmp_path, monkeypatch, algo):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "vllm" else find_spec(name))
    told = {"vllm_gpu_memory_utilization": 0.4, "vllm_server_host": "10.0.0.7", "vllm_server_port": 9000}
    made = config(tmp_path, told, algo=algo, vllm="server")
    assert {name: getattr(made, name) for name in told} == told
    assert (made.use_vllm, made.vllm_mode) == (True, "server")


@pytest.mark.parametrize("name", ["warmup_ratio", "warmup_steps"])
def test_a_warm_up_gets_a_schedule_that_has_one(tmp_path, name):
    """The schedule of other runs, a constant rate, would leave it out without a word."""
    made = config(tmp_path, {name: 0.1})
    assert (made.warmup_steps, made.lr_scheduler_type) == (0.1, "constant_with_warmup")
    assert config(tmp_path, {name: 0.1, "lr_scheduler_type": "cosine"}).lr_scheduler_type == "cosine"
    assert config(tmp_path).lr_scheduler_type == "constant"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"learning_rate": 1.0}, "learning_rate is --learning-rate here"),
        ({"per_device_train_batch_size": 2}, "per_device_train_batch_size is --batch-size here"),
        ({"beta": 0.1}, "beta is --kl here"),
        ({"loss_type": "grpo"}, "loss_type is --loss-type here"),
        ({"eval_strategy": "steps"}, "eval_strategy is --eval-steps here"),
        ({"load_best_model_at_end": True}, "load_best_model_at_end is --keep here"),
        ({"vllm_mode": "server"}, "vllm_mode is --vllm here"),
        ({"lora_r": 8}, "lora_r is --lora-rank here"),
        ({"output_dir": "elsewhere"}, "output_dir is --out here"),
        ({"solution": "owen"}, "solution is --solution here"),
        ({"logging_steps": 10}, "logging_steps cannot be set: every step is logged"),
        ({"trust_remote_code": True}, "never run"),
        ({"push_to_hub": True}, "upload policy/"),
        ({"hub_token": "secret"}, "hub_token cannot be set: run.json would show it"),
        ({"generation_kwargs": {"max_new_tokens": 9}}, "generation_kwargs is --max-completion-length"),
        ({"generation_kwargs": {"top_p": 0.9, "temperature": 2}}, "temperature of generation_kwargs is --temperature"),
        ({"generation_kwargs": {"do_sample": False}}, "do_sample of generation_kwargs is --temperature"),
        ({"generation_kwargs": {"n": 2}}, "n of generation_kwargs is --group-size"),
        ({"warmup_ratio": 0.1, "warmup_steps": 5}, "warmup_ratio and warmup_steps are the same"),
        ({1: 2}, "expected a mapping"),
        (["weight_decay"], "expected a mapping"),
        ("weight_decay", "expected a mapping"),
    ],
)
def test_what_is_decided_here_is_refused(fields, message):
    with pytest.raises(AgentError, match=message):
        TrainingSettings(trl=fields).check(lambda name: f"--{name.replace('_', '-')}")


def test_other_settings_of_generation_reach_trl(tmp_path):
    assert config(tmp_path, {"generation_kwargs": {"length_penalty": 0.5}}).generation_kwargs == {"length_penalty": 0.5}


def test_a_learner_decides_only_what_it_has(tmp_path):
    assert config(tmp_path, {"loss_type": ["ipo"]}, algo="dpo").loss_type == ["ipo"]
    with pytest.raises(AgentError, match="SFTConfig has no field 'vllm_mode'"):
        config(tmp_path, {"vllm_mode": "server"}, algo="sft")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"wieght_decay": 0.1}, "OSPOConfig has no field 'wieght_decay'; did you mean 'weight_decay'"),
        ({"weight_decay": "1e-4"}, r"expected weight_decay as float, got '1e-4' \(YAML reads 1e-4 as text"),
        ({"weight_decay": True}, "expected weight_decay as float"),
        ({"top_k": 0.5}, "expected top_k as int"),
        ({"lr_scheduler_type": 3}, "expected lr_scheduler_type as SchedulerType or str"),
        ({"lr_scheduler_type": "cosin"}, "OSPOConfig does not take"),
        ({"warmup_steps": -1}, "OSPOConfig does not take"),
        ({"lora_target_modules": ["q_proj"]}, "lora_target_modules is of adapters; add lora_rank"),
        ({"report_to": ["wnadb"]}, "unknown reporter 'wnadb'; did you mean 'wandb'"),
        ({"report_to": ["clearml"]}, "report_to clearml needs a package that is not installed"),
    ],
)
def test_wrong_fields(tmp_path, fields, message):
    with pytest.raises(AgentError, match=message) as caught:
        config(tmp_path, fields)
    assert "\n" not in str(caught.value)


def test_every_name_of_the_tables_is_trls():
    known = {field.name for learner in LEARNERS.values() for field in dataclasses.fields(learner.config())}
    known |= {field.name for field in dataclasses.fields(trl.ModelConfig)}
    assert {*trl_fields._OWN, *trl_fields._FIXED, *trl_fields._ADAPTER} <= known
    settings = {field.name for field in dataclasses.fields(TrainingSettings)}
    assert set(trl_fields._OWN.values()) <= settings | {"out", "resume"}


@pytest.mark.parametrize("algo", LEARNERS)
def test_every_field_that_a_setting_decides_is_refused(algo):
    """Whatever a learner makes of its settings cannot be set a second time, but for what has no setting."""
    settings = (
        TrainingSettings(algo=algo, vllm="server") if "vllm" in LEARNERS[algo].defaults else TrainingSettings(algo=algo)
    )
    free = {"importance_sampling_level", "max_length"}
    for name in set(settings.learner.fields(settings.as_json())) - free:
        with pytest.raises(AgentError):
            trl_fields.check_names({name: None}, settings.learner)


def test_targets_of_adapters(tmp_path):
    tokenizer = chat_tokenizer()
    save_policy(tmp_path / "policy", chat_model(tokenizer), tokenizer, PromptFormat())
    targets = {"lora_target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.25, "use_rslora": True}
    settings = TrainingSettings(policy=str(tmp_path / "policy"), lora_rank=2, trl=targets)
    settings.check()
    make_config(settings, tmp_path / "scratch")
    adapter = make_policy(settings, ToyTask()).model.peft_config["default"]
    assert adapter.target_modules == {"q_proj", "v_proj"}
    assert (adapter.lora_dropout, adapter.use_rslora, adapter.r) == (0.25, True, 2)
