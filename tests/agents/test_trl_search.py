"""The search session in TRL's own trainer and tool loop; only the words of the policy are scripted."""

import functools
import json
import warnings

import pytest
from datasets import Dataset
from tokenizers import AddedToken
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import qwen3_chat_template, supports_tool_calling

from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_env import RetrievalTask, RetrieverError, SearchTask, TaskError
from ospo_env.integrations.trl_search import NO_TURN_LEFT, SearchSession
from shop import shop


@pytest.fixture(scope="module")
def task():
    return SearchTask(RetrievalTask(shop()), max_turns=2, price=0.125, shown=2)


def call(query):
    return f"<tool_call>\n{json.dumps({'name': 'search', 'arguments': {'query': query}})}\n</tool_call><|im_end|>"


SCRIPTS = [
    [call("red coat"), call("wool"), "Here it is.<|im_end|>"],
    [call("qzxv"), "Nothing.<|im_end|>"],
    ["I know it.<|im_end|>"],
    [call("red coat"), call("qzxv"), call("wool"), "Done.<|im_end|>"],
]
"""Turns of the policy in four rollouts of one prompt; the last makes a search too many."""


def chat_tokenizer(task):
    """A tiny tokenizer with the chat template of a model that calls tools."""
    tokenizer = tiny_tokenizer(task.texts(), vocab_size=400)
    marks = ("<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
    tokenizer.add_tokens([AddedToken(mark, special=mark.startswith("<|"), normalized=False) for mark in marks])
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = qwen3_chat_template
    return tokenizer


def trained(task, path, monkeypatch, scripts=SCRIPTS):
    """A step of TRL's trainer on scripted generation: its rewards, completions and masks, and the sessions."""
    tokenizer = chat_tokenizer(task)
    assert supports_tool_calling(tokenizer)
    kept = {}
    queues = [list(script) for script in scripts]

    def generate(self, prompt_ids, *arguments, **settings):
        rows = [row for row, queue in enumerate(queues) if queue]
        assert len(rows) >= len(prompt_ids)
        return [tokenizer.encode(queues[row].pop(0), add_special_tokens=False) for row in rows[: len(prompt_ids)]], None

    def keep(self, inputs, prompts, completions, completion_ids):
        kept.update(completions=completions, sessions=list(self.environments))
        kept["rewards"] = original(self, inputs, prompts, completions, completion_ids)
        return kept["rewards"]

    original = GRPOTrainer._calculate_rewards
    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", generate)
    monkeypatch.setattr(GRPOTrainer, "_calculate_rewards", keep)
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    config = GRPOConfig(
        str(path),
        max_steps=1,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=512,
        use_cpu=True,
        activation_checkpointing=False,
        bf16=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    prompt = [{"role": "user", "content": "coat please"}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = GRPOTrainer(
            model=tiny_model(tokenizer, hidden_size=32, layers=1),
            args=config,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list([{"prompt": prompt, "prompt_id": "q00"}]),
            environment_factory=functools.partial(SearchSession, task),
        )
        trainer.train()
    return kept


def test_trls_trainer_plays_episodes(task, tmp_path, monkeypatch):
    kept = trained(task, tmp_path, monkeypatch)
    episodes = ["red coat\nwool\n", "qzxv\n", "", "red coat\nqzxv\n"]
    expected = task.rewards(["q00"] * 4, episodes)
    assert len(set(expected.tolist())) == 3
    assert kept["rewards"][:, 0].tolist() == pytest.approx(expected.tolist(), abs=1e-7)
    replies = [[message["content"] for message in one if message["role"] == "tool"] for one in kept["completions"]]
    titles = task.search(["q00"], ["red coat"])[0].titles
    assert replies[0][0] == f"1. {titles[0]}\n2. {titles[1]}"
    assert replies[1:3] == [["nothing found"], []]
    assert replies[3][2] == NO_TURN_LEFT


def test_a_session_by_hand(task):
    session = SearchSession(task)
    for use in (session.get_reward, functools.partial(session.search, "red")):
        with pytest.raises(TaskError, match="expected reset before"):
            use()
    with pytest.raises(TaskError, match="expected a column prompt_id"):
        session.reset(prompt=[])
    with pytest.raises(TaskError, match="unknown prompt id"):
        session.reset(prompt_id="q99")
    assert session.reset(prompt_id="q00", prompt=[]) is None
    assert session.get_reward() == 0.0
    session.search("answer")
    assert session.get_reward() == -0.125, "the tool has no answer: it searches for the word"


def test_a_failed_search_is_no_reward(task, monkeypatch):
    session = SearchSession(task)
    session.reset(prompt_id="q00")
    session.search("red coat")

    def fail(prompt_ids, searches):
        raise RetrieverError("the index is gone")

    monkeypatch.setattr(task, "search", fail)
    with pytest.raises(RetrieverError):
        session.search("wool")
    with pytest.raises(RetrieverError, match="the index is gone"):
        session.get_reward()
