"""A causal LM as a policy, and its directory on disk: weights, tokenizer and prompt format."""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from agents.errors import AgentError
from agents.prompting import INSTRUCTION, PromptFormat

__all__ = ["LanguageModelPolicy", "find_policy", "load_policy", "save_policy"]

_FORMAT_FILE = "prompt_format.json"
_MAX_NEW_TOKENS = 256


def find_policy(path: str | Path) -> Path:
    """The directory that holds a policy: ``path`` itself, or its ``policy`` folder when ``path`` is a run.

    Raises:
        AgentError: No model is there.
    """
    path = Path(path)
    for candidate in (path, path / "policy"):
        if (candidate / "config.json").is_file():
            return candidate
    what = "holds no config.json, nor does its folder 'policy'" if path.is_dir() else "does not exist"
    raise AgentError(f"expected a trained policy at {path}, but it {what}; train one with scripts/train.py")


def load_policy(path: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, PromptFormat]:
    """Model, tokenizer and prompt format of a policy directory or a run.

    Raises:
        AgentError: No model is there, its files cannot be read, or it has no chat template.
    """
    directory = find_policy(path)
    format_path = directory / _FORMAT_FILE
    try:
        model = AutoModelForCausalLM.from_pretrained(directory)
        tokenizer = AutoTokenizer.from_pretrained(directory)
        # A directory that this project did not write is a general model: it is told what to do.
        prompt_format = PromptFormat(INSTRUCTION, answer_tags=True)
        if format_path.is_file():
            prompt_format = PromptFormat.from_json(json.loads(format_path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise AgentError(f"{directory} cannot be opened as a policy: {type(error).__name__}: {reason}") from error
    if tokenizer.chat_template is None:
        raise AgentError(f"expected a tokenizer with a chat template in {directory}; it has none")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer, prompt_format


def save_policy(
    path: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat
) -> None:
    """Write a policy directory that ``from_pretrained`` opens; complete or not there. An earlier one is replaced."""
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        (partial / _FORMAT_FILE).write_text(json.dumps(dataclasses.asdict(prompt_format), indent=2) + "\n")
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class LanguageModelPolicy:
    """Prompts in, rewrites out.

    Args:
        model: The causal LM.
        tokenizer: With a chat template and a padding token.
        prompt_format: How prompts are put and rewrites found.
        max_new_tokens: Bound on a completion's length; none takes the one in the model's generation config.
        temperature: 0 decodes greedily, else tokens are sampled at it.
        seed: Of the sampling; the same call gives the same texts, the global generator is left as it was.
        batch_size: Prompts generated at once.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt_format: PromptFormat,
        *,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        batch_size: int = 64,
    ) -> None:
        if temperature < 0:
            raise AgentError(f"expected a temperature of at least 0, got {temperature}")
        self.model = model
        self.tokenizer = tokenizer
        self.prompt_format = prompt_format
        self.batch_size = batch_size
        self.seed = seed
        self._generation: dict[str, Any] = {
            "max_new_tokens": max_new_tokens or model.generation_config.max_new_tokens or _MAX_NEW_TOKENS,
            "do_sample": temperature > 0,
        }
        if temperature > 0:
            self._generation |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}

    def __call__(self, prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        """One rewrite for each prompt; a malformed completion gives the empty text, which earns 0."""
        del prompt_ids
        texts: list[str] = []
        with _seeded(self.seed), _evaluating(self.model):
            for start in range(0, len(prompts), self.batch_size):
                texts += self._rewrite(prompts[start : start + self.batch_size])
        return texts

    def _rewrite(self, prompts: Sequence[str]) -> list[str]:
        encoded = self.tokenizer.apply_chat_template(
            [self.prompt_format.messages(prompt) for prompt in prompts],
            add_generation_prompt=True,
            padding=True,
            padding_side="left",
            return_tensors="pt",
            return_dict=True,
        ).to(self.model.device)
        with torch.inference_mode():
            output = self.model.generate(**encoded, **self._generation)
        completions = self.tokenizer.batch_decode(output[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        spans = [self.prompt_format.answer_span(completion) for completion in completions]
        return [
            "" if span is None else completion[slice(*span)]
            for span, completion in zip(spans, completions, strict=True)
        ]


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
