"""The decoding loop writes what ``generate`` writes, and computes less."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from chat_models import chat_tokenizer
from ospo_agents import AgentError
from ospo_agents.policies import decoding
from ospo_agents.policies.decoding import decode
from ospo_agents.policies.generation import evaluating, generation_settings
from ospo_agents.policies.language_model import load_policy
from ospo_agents.policies.prompt_format import PromptFormat
from smollm2 import DIRECTORY, needs_smollm2

LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = {**LAYERS, "intermediate_size": 64, "num_key_value_heads": 1}
KINDS = {
    "qwen2": SMALL,
    "mistral": {**SMALL, "sliding_window": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
}
PROMPTS = ["red coat"] * 4 + ["a warm long blue linen dress, for the beach"] * 4 + ["wool"] * 3 + ["red coat"]
ENDS = range(5, 25)  # so that rows end at different places


@pytest.fixture(scope="module")
def tokenizer():
    return chat_tokenizer()


def model_of(kind, tokenizer):
    config = AutoConfig.for_model(
        kind, **KINDS[kind], vocab_size=len(tokenizer), max_position_embeddings=256, initializer_range=0.3,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=None, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return AutoModelForCausalLM.from_config(config).eval()


def encoded(tokenizer):
    conversations = [PromptFormat().messages(prompt) for prompt in PROMPTS]
    ids = tokenizer.apply_chat_template(conversations, add_generation_prompt=True)["input_ids"]
    return tokenizer.pad({"input_ids": ids}, padding_side="left", return_attention_mask=True, return_tensors="pt")


def written(model, tokenizer, seed=1, loop=decode, temperature=1.0, **settings):
    """Tokens of each row up to its end, by a loop; None for that of transformers."""
    settings = {
        **generation_settings(model, tokenizer, max_new_tokens=16, temperature=temperature),
        "eos_token_id": list(ENDS),
        **settings,
    }
    prompts = encoded(tokenizer)
    with evaluating(model, seed), torch.no_grad():
        output = model.generate(**prompts, **settings, custom_generate=loop)
    rows = output[:, prompts["input_ids"].shape[1] :].tolist()
    return [row[: next((place + 1 for place, token in enumerate(row) if token in ENDS), None)] for row in rows]


def as_multinomial(scores, live, rows):
    """Draws of ``torch.multinomial`` in a batch of all rows, which ``generate`` makes."""
    waits = torch.empty((rows, scores.shape[1])).exponential_()
    return (torch.softmax(scores, dim=-1) / waits[live]).argmax(dim=-1)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_those_of_generate(tokenizer, monkeypatch, kind):
    model = model_of(kind, tokenizer)
    greedy = written(model, tokenizer, temperature=0)
    assert greedy == written(model, tokenizer, loop=None, temperature=0)
    monkeypatch.setattr(decoding, "_draw", as_multinomial)
    sampled = written(model, tokenizer)
    assert sampled == written(model, tokenizer, loop=None)
    assert sampled != written(model, tokenizer, seed=2), "the check can fail"
    assert len({len(row) for row in sampled}) > 2, "rows end at different places"


@pytest.mark.parametrize(
    "settings",
    [{"repetition_penalty": 1.5}, {"top_k": 3}, {"top_p": 0.5}, {"min_p": 0.2}, {"min_new_tokens": 9}],
    ids=str,
)
def test_settings_of_sampling_are_honoured(tokenizer, monkeypatch, settings):
    model = model_of("qwen2", tokenizer)
    monkeypatch.setattr(decoding, "_draw", as_multinomial)
    assert written(model, tokenizer, **settings) == written(model, tokenizer, loop=None, **settings)
    assert written(model, tokenizer, **settings) != written(model, tokenizer), "the setting does something"


def test_a_search_over_beams_is_refused(tokenizer):
    with pytest.raises(AgentError, match="one beam, but got num_beams=2"):
        written(model_of("qwen2", tokenizer), tokenizer, num_beams=2)


def test_prompts_are_read_once_and_ended_rows_leave(tokenizer, monkeypatch):
    model = model_of("qwen2", tokenizer)
    rows = []
    forward = model.model.forward
    monkeypatch.setattr(
        model.model, "forward", lambda **inputs: (rows.append(len(inputs["input_ids"])), forward(**inputs))[1]
    )
    lengths = [len(row) for row in written(model, tokenizer)]
    assert rows[0] == 4, "four runs of equal prompts"
    assert rows[1:] == [sum(length > step for length in lengths) for step in range(1, max(lengths))]


def test_the_end_of_one_row_does_not_change_the_others(tokenizer):
    model = model_of("qwen2", tokenizer)
    rows = written(model, tokenizer)
    longer = written(model, tokenizer, eos_token_id=[min(ENDS)])
    assert all(row[:-1] == other[: len(row) - 1] for row, other in zip(rows, longer, strict=True))


def test_a_cache_that_is_not_of_keys_and_values_keeps_transformers_loop(tokenizer):
    model = model_of("qwen2", tokenizer)
    written_here = written(model, tokenizer, cache_implementation="static")
    assert written_here == written(model, tokenizer, loop=None, cache_implementation="static")


def test_draws_follow_the_distribution(monkeypatch):
    """The token drawn is the first whose share of the distribution, cumulated, exceeds the uniform number."""
    shares = np.array([0.0, 0.2, 0.0, 0.5, 0.3, 0.0])
    scores = torch.tensor(np.log(np.maximum(shares, 1e-300)), dtype=torch.float32).masked_fill(
        torch.tensor(shares == 0), -torch.inf
    )
    uniform = torch.tensor([0.0, 0.1, 0.1999, 0.2001, 0.6999, 0.7001, 1.0])
    monkeypatch.setattr(torch, "rand", lambda shape, **kind: uniform[:, None])
    tokens = decoding._draw(scores.expand(7, 6), torch.arange(7), 7)
    assert tokens.tolist() == [1, 1, 1, 3, 3, 4, 4]
    assert decoding._draw(scores.expand(2, 6), torch.tensor([1, 5]), 7).tolist() == [1, 4], "numbers belong to rows"


def test_frequencies_of_draws():
    scores = torch.linspace(-2, 1, 50)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokens = decoding._draw(scores.expand(40_000, 50), torch.arange(40_000), 40_000)
    expected = torch.softmax(scores, dim=0) * 40_000
    counts = torch.bincount(tokens, minlength=50)
    assert ((counts - expected) ** 2 / expected).sum() < 85, "chi-square of 49 degrees, exceeded once in a thousand"
    assert ((counts.flip(0) - expected) ** 2 / expected).sum() > 1000, "the check can fail"


@needs_smollm2
def test_a_pretrained_model_decodes_as_generate_does():
    model, tokenizer, _ = load_policy(DIRECTORY)
    ids = tokenizer.apply_chat_template(
        [PromptFormat().messages(prompt) for prompt in ("led lite bulb", "led lite bulb", "drill bit set 10 inch")],
        add_generation_prompt=True,
    )["input_ids"]
    prompts = tokenizer.pad({"input_ids": ids}, padding_side="left", return_attention_mask=True, return_tensors="pt")
    settings = generation_settings(model, tokenizer, max_new_tokens=12, temperature=0)
    with torch.no_grad():
        assert model.generate(**prompts, **settings, custom_generate=decode).equal(
            model.generate(**prompts, **settings)
        )
