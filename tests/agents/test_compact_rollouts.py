"""Trainers with compact rollouts train as TRL's do."""

import pytest
import torch
from test_decoding import SMALL, as_multinomial
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AutoConfig, AutoModelForCausalLM
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.trainer.utils import add_fused_lm_head

from chat_models import SETTINGS, chat_model, chat_tokenizer
from ospo_agents import compact_rollouts
from ospo_agents.compact_rollouts import CompactGRPOTrainer, CompactRLOOTrainer, add_compact_head
from ospo_agents.policies import decoding
from ospo_agents.policies.language_model import load_policy
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.trl_task import prompt_dataset
from smollm2 import DIRECTORY, needs_smollm2
from toy_task import ToyTask


@pytest.fixture(scope="module")
def tokenizer():
    return chat_tokenizer()


def labelled(vocabulary, rows=3, length=9, prompt=4):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        ids = torch.randint(vocabulary, (rows, length))
    labels = ids.clone()
    labels[:, :prompt] = -100
    labels[0, 7:] = -100
    return ids, labels


def measured(model, ids, labels, autocast=False, bonus=0.0):
    """Log-probabilities, entropies, and the gradient of a loss of both."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, fused_lm_head=True)
    (output.log_probs.square().sum() + bonus * output.entropy.sum()).backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    return output.log_probs.detach(), output.entropy.detach(), gradient


def both(model, temperature, monkeypatch, bonus=0.0, **settings):
    """Measures with TRL's head, then with the compact one."""
    add_fused_lm_head(model, temperature=temperature, outputs=("log_probs", "entropy"))
    ids, labels = labelled(model.config.vocab_size)
    right = measured(model, ids, labels, bonus=bonus, **settings)
    add_compact_head(model, temperature=temperature, entropy_bonus=bool(bonus))
    # TRL's own would be asked for log-probabilities if the compact head were not used.
    monkeypatch.setattr("trl.trainer.utils._ChunkedLogProbFunction.apply", None)
    return right, measured(model, ids, labels, bonus=bonus, **settings)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("bonus", [0.0, 0.3])
def test_log_probabilities_entropies_and_gradients_are_those_of_trl(tokenizer, monkeypatch, temperature, bonus):
    model = chat_model(tokenizer)
    right, compact = both(model, temperature, monkeypatch, bonus=bonus)
    assert right[0].abs().sum() > 1
    for one, other in zip(right, compact, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=2e-5)


def test_the_most_likely_tokens_are_those_of_trl(tokenizer):
    model = chat_model(tokenizer)
    ids, labels = labelled(model.config.vocab_size)
    labels[1, 5:] = model(input_ids=ids).logits[1, 4:-1].argmax(dim=-1)
    add_fused_lm_head(model, outputs=("log_probs", "is_top1"))
    right = model(input_ids=ids, labels=labels, fused_lm_head=True).is_top1
    assert 0 < right.sum() < (labels != -100).sum()
    add_compact_head(model, accuracy=True)
    assert model(input_ids=ids, labels=labels, fused_lm_head=True).is_top1.equal(right)


def test_another_temperature_gives_other_values(tokenizer):
    """Negative control of the test above."""
    model = chat_model(tokenizer)
    ids, labels = labelled(model.config.vocab_size)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    right = measured(model, ids, labels)
    add_compact_head(model, temperature=0.9)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(measured(model, ids, labels)[0], right[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["gemma2", "cohere"])
def test_models_that_change_their_logits_keep_trls_head(tokenizer, kind):
    config = AutoConfig.for_model(kind, **SMALL, vocab_size=64, max_position_embeddings=64)
    model = AutoModelForCausalLM.from_config(config)
    before = model.forward
    add_compact_head(model, temperature=1.0)
    assert model.forward == before


def test_attention_of_short_rows_is_the_same_by_either_kernel(tokenizer):
    model = chat_model(tokenizer)
    ids, _ = labelled(model.config.vocab_size)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        flash = model(input_ids=ids).logits
    with compact_rollouts._attention(9):
        plain = model(input_ids=ids).logits
    torch.testing.assert_close(plain, flash, rtol=1e-5, atol=1e-6)


def evenness(completion_ids, **columns):
    """A reward that varies: the share of tokens with an even number."""
    return [sum(token % 2 == 0 for token in ids) / len(ids) for ids in completion_ids]


TRAINERS = {
    "grpo": (GRPOTrainer, CompactGRPOTrainer, GRPOConfig),
    "rloo": (RLOOTrainer, CompactRLOOTrainer, RLOOConfig),
}


def trained(trainer, config, tokenizer, path, **settings):
    model = chat_model(tokenizer)
    made = trainer(
        model=model,
        reward_funcs=[evenness],
        args=config(str(path), **{**SETTINGS, "max_completion_length": 12, "beta": 0.0, **settings}),
        train_dataset=prompt_dataset(ToyTask(), PromptFormat()),
        processing_class=tokenizer,
    )
    made.train()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("algo", TRAINERS)
def test_the_same_draws_train_to_the_same_parameters(tokenizer, tmp_path, monkeypatch, algo):
    of_trl, compact, config = TRAINERS[algo]
    monkeypatch.setattr(decoding, "_draw", as_multinomial)
    plain = {"optim": "sgd", "learning_rate": 3.0}  # adaptive steps would blow up rounding where gradients are near 0
    right = trained(of_trl, config, tokenizer, tmp_path, **plain)
    start = torch.cat([parameter.detach().flatten() for parameter in chat_model(tokenizer).parameters()])
    assert (right - start).abs().mean() > 5e-3, "they did learn"
    torch.testing.assert_close(trained(compact, config, tokenizer, tmp_path, **plain), right, rtol=0, atol=1e-5)


def test_settings_of_generation_reach_the_loop(tokenizer, tmp_path, monkeypatch):
    scores = []
    draw = decoding._draw
    monkeypatch.setattr(decoding, "_draw", lambda *inputs: (scores.append(inputs[0]), draw(*inputs))[1])
    trained(CompactGRPOTrainer, GRPOConfig, tokenizer, tmp_path, max_steps=1, top_k=5)
    assert scores
    assert all((row > -torch.inf).sum() == 5 for step in scores for row in step)


@needs_smollm2
def test_log_probabilities_in_bfloat16_are_as_near_to_float32_as_trls(monkeypatch):
    model, _, _ = load_policy(DIRECTORY)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    exact = measured(model, *labelled(model.config.vocab_size))
    del model.forward
    right, compact = both(model, 1.0, monkeypatch, autocast=True)
    for values in range(2):
        error = (compact[values] - exact[values]).abs().mean()
        # Logits are rounded to bfloat16 once more than TRL's, whose output layer adds up in float32.
        assert 0 < error < 2 * (right[values] - exact[values]).abs().mean()
    assert torch.nn.functional.cosine_similarity(compact[2], exact[2], dim=0) > 0.99
