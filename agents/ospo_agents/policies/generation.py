"""Completions of conversations by a causal LM, as it samples them in training."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ospo_agents.policies.decoding import decode

__all__ = ["Completion", "complete", "evaluating", "generate", "generation_settings"]


@dataclass(frozen=True)
class Completion:
    """A generated completion.

    Attributes:
        token_ids: Its tokens, without the end token and what follows it.
        ended: Whether the model ended it; False where it was cut at the bound on its length.
        end: The token that ended it; None where it was cut.
    """

    token_ids: list[int]
    ended: bool
    end: int | None = None


def generation_settings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, max_new_tokens: int, temperature: float
) -> dict[str, Any]:
    """Keyword arguments of ``model.generate`` that sample as TRL does in training.

    Everything that a model's own generation config may set is set here, since that config is meant for its users.

    Args:
        model: The causal LM.
        tokenizer: Its tokenizer, with a padding token. A completion ends at its end token or at one of the model's.
        max_new_tokens: Bound on a completion's length in tokens, at least 1.
        temperature: 0 decodes greedily, else tokens are sampled at it.
    """
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    return {
        "max_new_tokens": max_new_tokens,
        "do_sample": temperature > 0,
        "temperature": temperature or 1.0,
        "top_k": 0 if temperature > 0 else 50,  # 50 is transformers' default, which greedy decoding ignores
        "top_p": 1.0,
        "repetition_penalty": 1.0,
        "eos_token_id": sorted({*ends, tokenizer.eos_token_id} - {None}),
        "pad_token_id": tokenizer.pad_token_id,
    }


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[list[dict[str, str]]],
    settings: dict[str, Any],
) -> list[Completion]:
    """One completion for each conversation, generated in one batch.

    Prompts are padded on the left, whatever side the tokenizer names, so that each ends where its completion starts.

    Args:
        model: The causal LM; it computes where it is.
        tokenizer: Its tokenizer, with a chat template and a padding token.
        conversations: Messages of each conversation, length B.
        settings: Result of :func:`generation_settings`.
    """
    contexts = tokenizer.apply_chat_template(list(conversations), add_generation_prompt=True)["input_ids"]
    return complete(model, tokenizer, contexts, settings)


def complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[list[int]],
    settings: dict[str, Any],
) -> list[Completion]:
    """One continuation of each sequence of tokens, generated in one batch, padded on the left.

    Args:
        model: The causal LM; it computes where it is.
        tokenizer: Its tokenizer, with a padding token.
        contexts: Tokens of each sequence, length B: a prompt, or a prompt and the beginning of its completion.
        settings: Result of :func:`generation_settings`.
    """
    encoded = tokenizer.pad(
        {"input_ids": list(contexts)}, padding_side="left", return_attention_mask=True, return_tensors="pt"
    )
    prompts, mask = (encoded[name].to(model.device) for name in ("input_ids", "attention_mask"))
    with torch.inference_mode():
        output = model.generate(input_ids=prompts, attention_mask=mask, custom_generate=decode, **settings)
    ends = set(settings["eos_token_id"])
    return [_completion(row, ends) for row in output[:, prompts.shape[1] :].tolist()]


def _completion(row: list[int], ends: set[int]) -> Completion:
    length = next((place for place, token in enumerate(row) if token in ends), None)
    return Completion(row[:length], length is not None, None if length is None else row[length])


@contextlib.contextmanager
def evaluating(model: PreTrainedModel, seed: int) -> Iterator[None]:
    """The model in evaluation mode and torch's generator seeded; both are as before afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        model.train(training)
