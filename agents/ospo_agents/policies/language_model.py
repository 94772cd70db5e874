"""Policy of a causal LM, and its directory on disk: weights or an adapter, tokenizer and prompt format."""

import copy
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import jinja2
import torch
import torch.distributed
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ospo_agents.errors import AgentError
from ospo_agents.files import sync_directory, sync_entry
from ospo_agents.policies.digests import FORMAT_FILE, write_digests
from ospo_agents.policies.generation import evaluating, generate, generation_settings
from ospo_agents.policies.loading import is_hub_id, lora_config, open_weights
from ospo_agents.policies.prompt_format import INSTRUCTION, PromptFormat

__all__ = ["LanguageModelPolicy", "find_policy", "load_policy", "lora_config", "on_accelerator", "save_policy"]

_MAX_NEW_TOKENS = 256


def find_policy(path_or_id: str | Path) -> Path | str:
    """Directory or hub id of a policy: the directory itself, the folder ``policy`` of a run, or a hub id as it stands.

    No file is read and the hub is not asked. A string that is no directory here and may be a hub id is taken for one.

    Raises:
        AgentError: No model is there.
    """
    path = Path(path_or_id)
    for candidate in (path, path / "policy"):
        if any((candidate / name).is_file() for name in ("config.json", "adapter_config.json")):
            return candidate.resolve()
    if path.is_dir():
        what = "it holds no config.json, nor does its folder 'policy'"
    elif path.exists():
        what = "it is a file"
    elif is_hub_id(path_or_id):
        return str(path_or_id)
    else:
        what = "it does not exist"
    raise AgentError(
        f"expected a trained policy at {path}, but {what}; "
        "train one (ospo_agents.training.train, or the command `ospo train`)"
    )


def load_policy(
    path_or_id: str | Path, *, bf16: bool | None = False, load_4bit: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, PromptFormat]:
    """Open a run, a policy directory, any causal LM's directory, or a hub id.

    The model is on the CPU, unless it is quantised: trainers move it, and :func:`on_accelerator` does. Code that comes
    with a model is never run. A model that this project did not write gets the instruction
    :data:`ospo_agents.policies.prompt_format.INSTRUCTION`, in the user's message where its chat template has no system
    role. An adapter is opened on its base model, as a ``peft.PeftModel`` that can be trained on. Files of a policy that
    this project wrote are compared with their digests (:func:`ospo_agents.policies.digests.check_digests`).

    Args:
        path_or_id: As for :func:`find_policy`.
        bf16: Whether weights are held in bfloat16, else in float32; None takes bfloat16 where they are stored so.
            Adapters are held in float32 either way; weights that are themselves trained should be, since small updates
            are lost in bfloat16 (``bf16`` of the trainer's settings computes in bfloat16 with weights in float32).
        load_4bit: Whether to quantise linear layers to 4 bits, to train an adapter on.

    Returns:
        Model, tokenizer and prompt format.

    Raises:
        AgentError: No model is there, it cannot be fetched or read, a file is missing or is not as it was written, it
            has no chat template, or 4 bits are asked for without a GPU or without bitsandbytes.
    """
    source = find_policy(path_or_id)
    try:
        model, tokenizer = open_weights(source, bf16=bf16, load_4bit=load_4bit)
        prompt_format = PromptFormat(INSTRUCTION, answer_tags=True)
        if isinstance(source, Path) and (source / FORMAT_FILE).is_file():
            prompt_format = PromptFormat.from_json(json.loads((source / FORMAT_FILE).read_text()))
        elif tokenizer.chat_template is not None and not _has_system_role(tokenizer):
            prompt_format = dataclasses.replace(prompt_format, system_role=False)
    except AgentError:
        raise
    except Exception as error:  # anybody may have written the files, and transformers raises what it meets
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if isinstance(source, Path):
            raise AgentError(f"{source} cannot be opened as a policy: {reason}") from error
        raise AgentError(
            f"{source!r} is no directory here, and as a hub id it cannot be opened (offline, unknown, or of a kind "
            f"that cannot be read): {reason}"
        ) from error
    if tokenizer.chat_template is None:
        raise AgentError(f"expected a tokenizer with a chat template in {source}; it has none")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer, prompt_format


def on_accelerator(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, PromptFormat]:
    """Move the model of an opened policy to the accelerator that torch finds, if there is one."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return (model if device is None else model.to(device)), tokenizer, prompt_format


def save_policy(
    path: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt_format: PromptFormat,
    *,
    state_dict: Mapping[str, torch.Tensor] | None = None,
    bf16: bool = False,
) -> None:
    """Write a policy directory that :func:`load_policy` opens: a complete one, or none. An earlier one is replaced.

    Of a ``peft.PeftModel`` the adapter alone is written, with the name of its base model. Any other model is named
    after the directory from then on: TRL reads a reference model from there, and an adapter on it records that name.
    With several processes the first one writes; all must call.

    Args:
        path: The directory to write.
        model: The policy; after training with ``peft_config=``, the trainer's model, not the one passed to it.
        tokenizer: Its tokenizer.
        prompt_format: Conversation made of a prompt, and place of the rewrite in a completion.
        state_dict: All weights, for a process that holds a part of them only (DeepSpeed ZeRO-3, FSDP):
            ``trainer.accelerator.get_state_dict(trainer.model_wrapped)``.
        bf16: Whether to write weights rounded to bfloat16, half as large: what a policy that computed in bfloat16
            was. Those of an adapter, and a ``state_dict``, are written as they are.

    Raises:
        AgentError: The model is the inner part of a ``PeftModel``, or an adapter on weights that are on no disk.
    """
    adapted = isinstance(model, PeftModel)
    if not adapted and any(isinstance(module, BaseTunerLayer) for module in model.modules()):
        raise AgentError("expected a whole policy, but got the model inside an adapter; save the trainer's own model")
    if adapted and not model.get_base_model().name_or_path:
        raise AgentError("expected an adapter on a model that is on disk, but its base is not; call save_policy for it")
    if _first_process():
        partial = path.parent / f".{path.name}.partial-{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            if adapted:  # a reference adapter of TRL's is left out
                model.save_pretrained(partial, selected_adapters=[model.active_adapter], state_dict=state_dict)
                model.generation_config.save_pretrained(partial)
            else:
                rounded = bf16 and state_dict is None
                whole = copy.deepcopy(model).to(torch.bfloat16) if rounded else model
                whole.save_pretrained(partial, state_dict=state_dict)
            tokenizer.save_pretrained(partial)
            (partial / FORMAT_FILE).write_text(json.dumps(dataclasses.asdict(prompt_format), indent=2) + "\n")
            write_digests(partial)
            sync_directory(partial)
            shutil.rmtree(path, ignore_errors=True)
            partial.rename(path)
            sync_entry(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    if _several_processes():
        torch.distributed.barrier()
    if not adapted:
        model.config.name_or_path = model.name_or_path = str(path.resolve())


class LanguageModelPolicy:
    """A function from prompts to rewrites, one completion a prompt.

    Attributes:
        malformed: Completions of the last call without a rewrite; each gave the empty text, which earns 0.
        cut: Completions of the last call that were cut at the bound on their length.

    Args:
        model: The causal LM; it computes on the device that it is on (:meth:`open` moves it).
        tokenizer: With a chat template and a padding token. A completion ends at its end token or the model's.
        prompt_format: Conversation made of a prompt, and place of the rewrite in a completion.
        max_new_tokens: Bound on a completion's length in tokens; None takes that of the model's generation config.
        temperature: 0 decodes greedily, else tokens are sampled at it.
        seed: Seed of sampling; the same call gives the same texts, and the global generator is left as it was.
        batch_size: Prompts generated at once.
        progress: Called after each batch with the number of its prompts.
        bf16: Whether to compute in bfloat16 with weights of float32; weights in bfloat16 always do.
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
        progress: Callable[[int], object] = lambda done: None,
        bf16: bool = False,
    ) -> None:
        if temperature < 0:
            raise AgentError(f"expected a temperature of at least 0, got {temperature}")
        self.model = model
        self.tokenizer = tokenizer
        self.prompt_format = prompt_format
        self.batch_size = batch_size
        self.seed = seed
        self.progress = progress
        self.bf16 = bf16
        self.malformed = 0
        self.cut = 0
        self._generation = generation_settings(
            model,
            tokenizer,
            max_new_tokens=max_new_tokens or model.generation_config.max_new_tokens or _MAX_NEW_TOKENS,
            temperature=temperature,
        )

    @classmethod
    def open(cls, path_or_id: str | Path, **settings: Any) -> Self:
        """Open a stored policy and move it to the accelerator that torch finds, if there is one.

        Args:
            path_or_id: As for :func:`load_policy`, whose errors this raises.
            settings: The keyword arguments of the class.
        """
        return cls(*on_accelerator(*load_policy(path_or_id, bf16=None)), **settings)

    def __call__(self, prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        """One rewrite for each prompt; a malformed completion gives the empty text, which earns 0."""
        del prompt_ids
        rewrites: list[str | None] = []
        self.cut = 0
        device = self.model.device.type
        # One context for all batches: weights are cast once.
        with evaluating(self.model, self.seed), torch.autocast(device, torch.bfloat16, enabled=self.bf16):
            for start in range(0, len(prompts), self.batch_size):
                batch = prompts[start : start + self.batch_size]
                rewrites += self._rewrite(batch)
                self.progress(len(batch))
        self.malformed = rewrites.count(None)
        return [rewrite or "" for rewrite in rewrites]

    def _rewrite(self, prompts: Sequence[str]) -> list[str | None]:
        conversations = [self.prompt_format.messages(prompt) for prompt in prompts]
        completions = generate(self.model, self.tokenizer, conversations, self._generation)
        self.cut += sum(not completion.ended for completion in completions)
        texts = self.tokenizer.batch_decode(
            [completion.token_ids for completion in completions], skip_special_tokens=True
        )
        return [self.prompt_format.rewrite(text) for text in texts]


def _has_system_role(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template renders a system message, instead of dropping or refusing it."""
    conversation = [{"role": "system", "content": "instruction"}, {"role": "user", "content": "prompt"}]
    try:
        return "instruction" in tokenizer.apply_chat_template(conversation, tokenize=False)
    except jinja2.TemplateError:
        return False


def _several_processes() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _first_process() -> bool:
    return not _several_processes() or torch.distributed.get_rank() == 0
