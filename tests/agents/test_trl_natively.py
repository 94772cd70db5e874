"""TRL's own trainers on the same task: reward functions, trackers, and what AsyncGRPO can do."""

import asyncio
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from trl import GRPOConfig, GRPOTrainer

from ospo_agents import AgentError
from ospo_agents.integrations.credit_table import COLUMNS, CreditTable, credit_rows
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.trl_task import TaskReward, prompt_dataset
from toy_task import ToyTask

SETTINGS = {
    "max_steps": 2,
    "per_device_train_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 8,
    "use_cpu": True,
    "bf16": False,
    "activation_checkpointing": False,
    "save_strategy": "no",
    "disable_tqdm": True,
    "logging_steps": 1,
}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer(ToyTask().texts(), vocab_size=300)


def train(tokenizer, path, **settings):
    """GRPO as TRL has it, with the table at each evaluation."""
    task, prompt_format = ToyTask(), PromptFormat()
    trainer = GRPOTrainer(
        tiny_model(tokenizer, hidden_size=32, layers=1),
        reward_funcs=[TaskReward(task, prompt_format, tokenizer)],
        args=GRPOConfig(str(path), **{**SETTINGS, **settings}),
        train_dataset=prompt_dataset(task, prompt_format),
        eval_dataset=prompt_dataset(task, prompt_format, "validation").select(range(4)),
        processing_class=tokenizer,
    )
    trainer.add_callback(CreditTable(trainer, task, prompt_format, prompts=3))
    trainer.train()
    return trainer


def events(directory):
    """The events of a directory's files, which are records of a length, two checksums and a message."""
    for path in directory.rglob("*tfevents*"):
        content = path.read_bytes()
        while content:
            length = int.from_bytes(content[:8], "little")
            yield Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]


def test_tensorboard_has_curves_and_the_table(tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 4, "num_generations_eval": 2}
    train(tokenizer, tmp_path / "run", report_to=["tensorboard"], **evaluation)
    values = [(event.step, value) for event in events(tmp_path) for value in event.summary.value]
    curves = {value.tag for _, value in values}
    assert {"train/reward", "train/malformed", "eval/reward"} <= curves
    tables = [(step, value.tensor.string_val[0].decode()) for step, value in values if value.tag.startswith("rewrites")]
    assert [step for step, _ in tables] == [1, 2]
    lines = tables[-1][1].splitlines()
    assert lines[0] == "| " + " | ".join(COLUMNS) + " |"
    assert len(lines) == 2 + 3


def test_rows_are_rewrites_with_their_credit():
    task = ToyTask()
    (prompt_id, *_), (prompt, *_) = task.prompts("train")
    text = ", ".join(sorted(task.targets[prompt_id]))
    (row,) = credit_rows(task, [prompt_id], [prompt], [text])
    assert (row.prompt, row.rewrite, row.reward) == (prompt, text, 1.0)
    assert row.credit == " | ".join(
        f"{word}{'' if last else ','} +0.250" for word, last in zip(text.split(", "), (0, 0, 0, 1), strict=True)
    )
    with pytest.raises(AgentError, match="expected at least one prompt of the split 'validation', but got 0"):
        CreditTable(None, task, PromptFormat(), prompts=0)


@pytest.mark.skipif("TRACKIO_DIR" not in os.environ, reason="make integrations sets where trackio writes")
@pytest.mark.parametrize("reporter", ["trackio", "wandb"])
def test_trackers_get_the_table(tokenizer, tmp_path, monkeypatch, reporter):
    """Offline, where they are installed (``make integrations``)."""
    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": tmp_path}.items():
        monkeypatch.setenv(name, str(value))
    package = pytest.importorskip(reporter, reason=f"{reporter} is not installed; make integrations")
    monkeypatch.chdir(tmp_path)
    logged = []

    class Table(package.Table):
        def __init__(self, *arguments, **named):
            logged.append(named)
            super().__init__(*arguments, **named)

    monkeypatch.setattr(package, "Table", Table)
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 4, "num_generations_eval": 2}
    train(tokenizer, tmp_path / "run", report_to=[reporter], **evaluation)
    if reporter == "wandb":
        package.finish()
    assert [len(one["data"]) for one in logged] == [3, 3]
    assert logged[0]["columns"] == list(COLUMNS)
    kept = Path(os.environ["TRACKIO_DIR"]) if reporter == "trackio" else tmp_path / "wandb"
    assert any(path.is_file() for path in kept.rglob("*"))


def test_asyncgrpo_takes_the_reward_and_has_one_advantage_a_conversation(tokenizer):
    """Its rollout worker pickles reward functions, calls them without a logger, and stamps one number on all tokens."""
    from trl.experimental.async_grpo import async_rollout_worker as worker

    task = ToyTask()
    loop = next(value for name, value in vars(worker).items() if name.endswith("AsyncRolloutLoop"))
    one = object.__new__(loop)
    one.reward_funcs = [pickle.loads(pickle.dumps(TaskReward(task, PromptFormat(), tokenizer)))]
    one.reward_func_names = ["task_reward"]
    one._env_reward_types, one._provides_rollout_reward = [], False
    prompt_id = task.prompts("train")[0][0]
    texts = [", ".join(sorted(task.targets[prompt_id])), "nothing"]
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    sequences = [
        [SimpleNamespace(input_ids=i, completion_mask=[1] * len(i), old_log_probs=[0.0] * len(i))] for i in ids
    ]
    group = worker.RolloutGroup(
        prompts=[[{"role": "user", "content": "red"}]] * 2,
        reward_kwargs={"prompt_id": [prompt_id] * 2},
        completions=[[{"role": "assistant", "content": text}] for text in texts],
        completions_ids=ids,
        completions_sequences=sequences,
        tool_call_counts=[0, 0],
        tool_failure_counts=[0, 0],
        model_version=0,
        group_id=0,
        env_rewards=[None, None],
        rollout_rewards=[None, None],
    )
    samples = asyncio.run(one._score_group(group))
    assert [sample.metrics["reward"] for sample in samples] == [1.0, 0.0]
    assert [type(sample.advantage) for sample in samples] == [float, float]  # credit has no place in it
    np.testing.assert_allclose([sample.advantage for sample in samples], [1.0, -1.0], rtol=1e-6)


def test_a_real_task_can_be_pickled_with_its_reward(tokenizer):
    task = gym.make("ospo_env:OSPO-ESCI-v0").unwrapped.task
    copy = pickle.loads(pickle.dumps(TaskReward(task, PromptFormat(), tokenizer)))
    ids = [tokenizer.encode("red wool coat", add_special_tokens=False)]
    prompt_id = task.prompts("train")[0][:1]
    assert copy(completion_ids=ids, prompt_id=prompt_id) == TaskReward(task, PromptFormat(), tokenizer)(
        completion_ids=ids, prompt_id=prompt_id
    )
