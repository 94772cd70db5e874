"""Decoding loop of ``generate`` that reads equal prompts once and computes no row behind its end."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    PreTrainedModel,
    StoppingCriteriaList,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import DynamicCache, DynamicLayer

from ospo_agents.errors import AgentError

__all__ = ["decode"]

_BY_ROW = (
    MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
"""Changes of scores that remember nothing of the batch, so that rows may leave it."""


def decode(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    synced_gpus: bool = False,
    streamer: Any = None,
    **model_kwargs: Any,
) -> Any:
    """Sample or decode greedily, as ``model.generate(..., custom_generate=decode)``.

    Neighbouring rows with the same prompt, such as a group's, share one reading of it: their keys and values are
    repeated. A row leaves the batch once it has ended. A random number is drawn for each row nevertheless, so that the
    end of one row does not change the others. Settings of sampling reach this loop as transformers'
    own ``logits_processor``. Where rows cannot leave (a cache that is not one of keys and values, a penalty that
    remembers the batch, processes that have to stay in step), transformers' own loop decodes.

    Args:
        model: The causal LM.
        input_ids: Prompts padded on the left, int64 (B, P).
        logits_processor: Changes of the scores before sampling.
        stopping_criteria: Ends of rows.
        generation_config: Settings of the call.
        synced_gpus: Whether processes have to make the same number of steps.
        streamer: Receiver of tokens as they come.
        **model_kwargs: Attention mask, cache and further inputs of the model.

    Returns:
        Prompts and completions, int64 (B, P + T), padded on the right.

    Raises:
        AgentError: The call asks for a search over several beams.
    """
    if generation_config.num_beams != 1:
        raise AgentError(f"expected one beam, but got num_beams={generation_config.num_beams}; leave it out")
    cache = model_kwargs.get("past_key_values")
    rows_may_leave = (
        isinstance(cache, DynamicCache)
        and all(isinstance(layer, DynamicLayer) for layer in cache.layers)
        and all(isinstance(processor, _BY_ROW) for processor in logits_processor)
        and not (synced_gpus or streamer or generation_config.return_dict_in_generate)
    )
    if not rows_may_leave:
        return model._sample(
            input_ids,
            logits_processor=logits_processor,
            stopping_criteria=stopping_criteria,
            generation_config=generation_config,
            synced_gpus=synced_gpus,
            streamer=streamer,
            **model_kwargs,
        )
    prompts, rows = input_ids, len(input_ids)
    first, group = _distinct(input_ids, model_kwargs.get("attention_mask"))
    inputs = _of_rows(model_kwargs, first, rows)
    outputs = model._prefill(input_ids[first], generation_config, inputs)
    inputs = _of_rows(model._update_model_kwargs_for_generation(outputs, inputs), group, len(first))
    inputs["past_key_values"].batch_select_indices(group)
    logits = outputs.logits[:, -1].to(torch.float32)[group]
    live = torch.arange(rows, device=input_ids.device)
    columns: list[torch.Tensor] = []
    pad = generation_config.pad_token_id or 0
    while True:
        scores = logits_processor(input_ids, logits)
        tokens = _draw(scores, live, rows) if generation_config.do_sample else scores.argmax(dim=-1)
        columns.append(torch.full((rows,), pad, device=input_ids.device).index_copy(0, live, tokens))
        input_ids = torch.cat([input_ids, tokens[:, None]], dim=-1)
        kept = (~stopping_criteria(input_ids, None)).nonzero()[:, 0]
        if not len(kept):
            break
        if len(kept) < len(live):
            inputs = _of_rows(inputs, kept, len(live))
            inputs["past_key_values"].batch_select_indices(kept)
            input_ids, live = input_ids[kept], live[kept]
        step = model.prepare_inputs_for_generation(input_ids, next_sequence_length=1, **inputs)
        outputs = model(**step, return_dict=True)
        inputs = model._update_model_kwargs_for_generation(outputs, inputs)
        logits = outputs.logits[:, -1].to(torch.float32)
    return torch.cat([prompts, torch.stack(columns, dim=1)], dim=1)


def _draw(scores: torch.Tensor, live: torch.Tensor, rows: int) -> torch.Tensor:
    """One token of the softmax for each live row, int64 (L,), by inversion of the distribution function.

    One uniform number a row, in place of one for each word of the vocabulary, which would cost as much as the model.
    """
    cumulated = torch.softmax(scores, dim=-1).cumsum(dim=-1)
    uniform = torch.rand((rows, 1), dtype=scores.dtype, device=scores.device)[live]
    total = cumulated[:, -1:].contiguous()
    place = torch.searchsorted(cumulated, uniform * total, right=True)[:, 0]
    # A product rounded up to the total lies behind every token: the last one that has any probability is meant.
    return place.minimum(torch.searchsorted(cumulated, total)[:, 0])


def _distinct(input_ids: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Row where each run of equal prompts begins, int64 (D,), and the run of each row, int64 (B,)."""
    prompts = input_ids if mask is None else torch.cat([input_ids, mask], dim=1)
    starts = torch.ones(len(prompts), dtype=torch.bool, device=prompts.device)
    starts[1:] = (prompts[1:] != prompts[:-1]).any(dim=1)
    return starts.nonzero()[:, 0], starts.cumsum(0) - 1


def _of_rows(inputs: Mapping[str, Any], chosen: torch.Tensor, rows: int) -> dict[str, Any]:
    """Inputs of the model of some of the rows; what has no row for each stays."""
    return {
        name: value[chosen] if isinstance(value, torch.Tensor) and value.dim() and len(value) == rows else value
        for name, value in inputs.items()
    }
