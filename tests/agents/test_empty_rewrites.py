"""The empty rewrite, where nothing is worth adding: learned from demonstrations, sampled, rewarded and credited."""

import numpy as np
import pytest
import torch

from chat_models import ON_CPU
from ospo_agents.policies.language_model import LanguageModelPolicy
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.trainer import OSPOConfig, OSPOTrainer
from ospo_agents.training.warm_start import warm_start
from ospo_env import RetrievalTask
from shop import shop

FORMATS = [PromptFormat(), PromptFormat(answer_tags=True)]


class Silent(RetrievalTask):
    """Every other demonstration is empty."""

    def demonstrations(self):
        return [(key, "" if number % 2 else "blue") for number, key in enumerate(self.prompts("train")[0])]


@pytest.fixture(scope="module", params=FORMATS, ids=["plain", "tags"])
def warm(request, tmp_path_factory):
    task = Silent(shop(), compose="append")
    tokenizer = tiny_tokenizer([*task.texts(), "<answer></answer>"], vocab_size=300)
    model = tiny_model(tokenizer, hidden_size=32, layers=1)
    out = tmp_path_factory.mktemp("sft")
    warm_start(model, tokenizer, task, request.param, out=out, epochs=60, batch_size=8, learning_rate=1e-2, **ON_CPU)
    return task, model, tokenizer, request.param


def test_it_is_learned_and_earns_what_the_raw_query_earns(warm):
    task, model, tokenizer, prompt_format = warm
    ids, prompts = task.prompts("train")
    policy = LanguageModelPolicy(model, tokenizer, prompt_format, max_new_tokens=24)
    texts = policy(ids, prompts)
    assert texts == [text for _, text in task.demonstrations()]
    assert policy.malformed == 0
    raw = task.rewards(ids, task.raw_rewrites(ids))
    empty = np.array([not text for text in texts])
    assert (task.rewards(ids, texts)[empty] == raw[empty]).all()
    assert (task.rewards(ids, texts)[~empty] != raw[~empty]).any(), "the others change rankings"


def test_a_batch_of_nothing_else_is_rewarded_and_credited(warm, tmp_path):
    task, model, tokenizer, prompt_format = warm
    words = tokenizer("<answer></answer>" if prompt_format.answer_tags else "")["input_ids"]
    args = OSPOConfig(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=4, num_generations=2, beta=0.0, report_to=[],
        save_strategy="no", logging_steps=1, max_completion_length=24, **ON_CPU,
    )  # fmt: skip
    trainer = OSPOTrainer(model, task, prompt_format, args, tokenizer)
    ids = task.prompts("train")[0][:4]
    completions = [[*words, tokenizer.eos_token_id]] * 4
    trainer.model.train()
    rewards = trainer._calculate_rewards([{"prompt_id": key} for key in ids], ids, completions, completions)
    np.testing.assert_allclose(rewards[:, 0].numpy(), task.rewards(ids, [""] * 4), rtol=1e-6)
    assert [one.reward for one in trainer._completions] == task.rewards(ids, [""] * 4).tolist()
    assert [len(one.credit) for one in trainer._completions] == [0] * 4
    output = {"advantages": torch.tensor([1.0, -1.0, 0.5, -0.5]), "completion_mask": torch.ones(4, len(words) + 1)}
    advantages = trainer._token_advantages({**output, "completion_ids": torch.tensor(completions)})
    assert torch.equal(advantages, output["advantages"][:, None] * output["completion_mask"])
