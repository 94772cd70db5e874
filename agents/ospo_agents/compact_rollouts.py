"""Cheap rollouts of TRL's trainers without a GPU: prompts read once, no padding, and an output layer on few tokens.

Two of TRL's hooks are used. Its call of ``generate`` gets the loop :func:`ospo_agents.policies.decoding.decode`, within
one autocast context, so that weights are cast to bfloat16 once a batch and not once a token. Its forward pass that
gives log-probabilities reads, off a GPU, packed rows (:mod:`ospo_agents.packing`) where the model's attention can, and
applies the output layer to the tokens of completions only; TRL's own kernel does that on a GPU. vLLM and continuous
batching stay as they are.
"""

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedConfig, PreTrainedModel
from trl import GRPOTrainer, RLOOTrainer
from trl.trainer.utils import FusedCausalLMOutput

from ospo_agents.log_probabilities import log_probabilities
from ospo_agents.packing import pack
from ospo_agents.policies.decoding import decode

__all__ = ["CompactGRPOTrainer", "CompactRLOOTrainer", "CompactRollouts", "add_compact_head", "causal_lm"]

_SCALED = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")
"""Fields of configurations whose models change logits behind their output layer."""

_SHORT = 128
"""Tokens of a row up to which attention keeps its whole matrix, and of a bin of packed rows."""

_PACKED = ("llama", "mistral", "qwen2", "qwen3")
"""Types of models with rotary positions and one causal mask for all layers, if no window slides."""


class CompactRollouts:
    """Mixin of TRL's trainers that draw rollouts; it comes before the trainer among the bases."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        trainer: Any = self
        for model in (trainer.model, getattr(trainer, "ref_model", None)):
            if model is not None:
                add_compact_head(
                    causal_lm(model),
                    temperature=trainer.temperature,
                    exact=getattr(trainer.args, "cast_lm_head_to_fp32", False),
                    entropy_bonus=getattr(trainer, "_entropy_bonus_enabled", False),
                )

    def _generate_single_turn(self, *arguments: Any, **settings: Any) -> Any:
        trainer: Any = self
        parent: Any = super()
        if trainer.use_vllm or getattr(trainer, "use_transformers_continuous_batching", False):
            return parent._generate_single_turn(*arguments, **settings)
        model = causal_lm(trainer.accelerator.unwrap_model(trainer.model_wrapped))
        with trainer.accelerator.autocast(), _decoding(model):
            return parent._generate_single_turn(*arguments, **settings)


class CompactGRPOTrainer(CompactRollouts, GRPOTrainer):  # type: ignore[misc]  # TRL ships no types
    """TRL's GRPO with compact rollouts."""


class CompactRLOOTrainer(CompactRollouts, RLOOTrainer):  # type: ignore[misc]  # TRL ships no types
    """TRL's RLOO with compact rollouts."""


@contextmanager
def _decoding(model: PreTrainedModel) -> Iterator[None]:
    """The model, whose ``generate`` decodes with this project's loop until the context ends."""
    model.generate = functools.partial(model.generate, custom_generate=decode)
    try:
        yield
    finally:
        del model.generate


def causal_lm(model: Any) -> Any:
    """The causal LM itself, below adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def add_compact_head(
    model: PreTrainedModel,
    *,
    temperature: float = 1.0,
    exact: bool = False,
    entropy_bonus: bool = False,
    accuracy: bool = False,
) -> None:
    """Give log-probabilities of labelled tokens without logits of the others, off a GPU.

    The forward pass of ``trl.trainer.utils.add_fused_lm_head`` is replaced where it is asked for log-probabilities on
    a CPU and the model has a plain output layer; it computes them in float32, of logits in the precision of autocast.

    Args:
        model: A causal LM with TRL's head.
        temperature: Divisor of logits, above 0.
        exact: Whether the output layer computes in float32 (TRL's ``cast_lm_head_to_fp32``): TRL's own then stays.
        entropy_bonus: Whether the loss has a term of the entropy, which then has a gradient.
        accuracy: Whether to say of each token if it is the most likely one, as SFT logs.
    """
    config = model.config.get_text_config()
    if exact or any(getattr(config, name, None) is not None for name in _SCALED):
        return
    packing = _keeps_rows_apart(config)
    of_trl: Callable[..., Any] = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *arguments: Any, fused_lm_head: bool = False, **inputs: Any) -> Any:
        labels = inputs.get("labels")
        if not fused_lm_head or labels is None or labels.device.type != "cpu" or inputs.get("output_router_logits"):
            return of_trl(*arguments, **inputs, **({"fused_lm_head": True} if fused_lm_head else {}))
        inputs = {name: value for name, value in inputs.items() if name not in ("labels", "use_cache")}
        if packing and not arguments and _is_plain_text(inputs, labels):
            hidden = _packed_states(self.base_model, labels=labels, **inputs)
        else:
            hidden = _states(self.base_model, labels, *arguments, **inputs)
        labels = labels[:, 1:]
        mask = labels != -100
        logits = self.get_output_embeddings()(hidden)
        if entropy_bonus:
            scaled = logits.float() / temperature
            total = torch.logsumexp(scaled, dim=-1)
            log_probs = scaled.gather(1, labels[mask][:, None])[:, 0] - total
            entropy = total - (torch.softmax(scaled, dim=-1) * scaled).sum(dim=-1)
        else:
            log_probs, entropy = log_probabilities(logits, labels[mask], temperature)
        return FusedCausalLMOutput(
            log_probs=_spread(log_probs, mask),
            entropy=_spread(entropy, mask),
            is_top1=_spread(logits.argmax(dim=-1) == labels[mask], mask) if accuracy else None,
            label_mask=mask,
        )

    model.forward = types.MethodType(forward, model)


def _keeps_rows_apart(config: PreTrainedConfig) -> bool:
    """Tell whether a model's attention follows the mask of packed rows in all its layers."""
    kinds = getattr(config, "layer_types", None) or ()
    window = any(kind != "full_attention" for kind in kinds) if kinds else getattr(config, "sliding_window", None)
    return config.model_type in _PACKED and config._attn_implementation == "sdpa" and not window


def _is_plain_text(inputs: dict[str, Any], labels: torch.Tensor) -> bool:
    """Tell whether a model's inputs are tokens and their mask, and each label follows a token and not padding alone."""
    mask = inputs.get("attention_mask")
    if set(inputs) != {"input_ids", "attention_mask"} or mask is None or mask.dim() != 2:
        return False
    first = (mask != 0).int().argmax(dim=1, keepdim=True)
    return not ((labels.gather(1, first) != -100) & (first > 0)).any()


def _packed_states(
    base_model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Hidden states (N, H) before the labels, of packed rows; a bin of long rows has room for two."""
    width = max(_SHORT, 2 * int(attention_mask.sum(dim=1).max()))
    packed = pack(input_ids, attention_mask, labels, width=width)
    with _attention(packed.input_ids.shape[1]):
        states: torch.Tensor = base_model(
            input_ids=packed.input_ids,
            attention_mask=packed.attention_mask,
            position_ids=packed.position_ids,
            use_cache=False,
        ).last_hidden_state
    return states[packed.predictors[0], packed.predictors[1]]


def _states(base_model: Any, labels: torch.Tensor, *arguments: Any, **inputs: Any) -> torch.Tensor:
    """Hidden states (N, H) before the labels, of rows as they come."""
    with _attention(labels.shape[1]):
        states: torch.Tensor = base_model(*arguments, **inputs, use_cache=False).last_hidden_state
    return states[:, :-1][labels[:, 1:] != -100]


def _spread(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Values of the tokens under a mask, each in its place; 0 elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def _attention(length: int) -> AbstractContextManager[Any]:
    """The kernel of attention off a GPU: torch's flash kernel takes four times as long to go back over short rows."""
    return sdpa_kernel(SDPBackend.MATH) if length <= _SHORT and torch.is_grad_enabled() else nullcontext()
