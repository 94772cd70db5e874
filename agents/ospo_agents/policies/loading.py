"""Opening of weights and tokenizer: a causal LM or an adapter on one, from a directory or the hub."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, TaskType
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.peft_utils import find_adapter_config_file

from ospo_agents.errors import AgentError
from ospo_agents.policies.digests import check_digests

__all__ = ["is_hub_id", "lora_config", "open_weights"]


def is_hub_id(name: str | Path) -> bool:
    """Whether a name that is no directory here may be that of a model on the hub, such as ``org/model``.

    A name with a first folder that exists here is taken for a path.

    >>> [is_hub_id(name) for name in ("Qwen/Qwen2.5-0.5B-Instruct", "./Qwen", "a/b/c", Path("Qwen/x"))]
    [True, False, False, False]
    """
    if isinstance(name, Path) or name[:1] in {"", ".", "~"} or name.count("/") > 1:
        return False
    if not all(part and part.replace("-", "").replace(".", "").replace("_", "").isalnum() for part in name.split("/")):
        return False
    return "/" not in name or not Path(name).parent.exists()


def open_weights(
    source: Path | str, *, bf16: bool | None, load_4bit: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a directory or hub id; an adapter is opened trainable on its base model.

    Code that comes with weights is never run. Files of policies that this project wrote are checked first.

    Args:
        source: A directory, or a hub id.
        bf16: Whether weights are held in bfloat16, else in float32; None takes bfloat16 where they are stored so.
        load_4bit: Whether linear layers are quantised to 4 bits (NF4), as in QLoRA.

    Raises:
        AgentError: 4 bits are asked for without a GPU or bitsandbytes, an adapter's base model is nowhere, or a file is
            not as it was written, or a configuration asks for code of the hub.
        Exception: Whatever transformers and its readers raise for a model that is missing, broken or of an unknown
            kind.
    """
    if bf16 is None:
        bf16 = _stored_in_bfloat16(source)
    settings: dict[str, Any] = {"dtype": torch.bfloat16 if bf16 else torch.float32, "trust_remote_code": False}
    if load_4bit:
        settings |= _four_bits(settings["dtype"])
    if isinstance(source, Path):
        _check_directory(source)
    tokenizer_source = source
    if find_adapter_config_file(str(source)) is None:
        model = AutoModelForCausalLM.from_pretrained(source, **settings)
    else:
        base = _base_of(source)
        if isinstance(base, Path):
            _check_directory(base)
        model = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base, **settings), str(source), is_trainable=True
        )
        if isinstance(source, Path) and (source / "generation_config.json").is_file():
            model.get_base_model().generation_config = GenerationConfig.from_pretrained(source)
        if isinstance(source, Path) and not (source / "tokenizer_config.json").is_file():
            tokenizer_source = base
    return model, AutoTokenizer.from_pretrained(tokenizer_source, trust_remote_code=False)


def _stored_in_bfloat16(source: Path | str) -> bool:
    """Whether a model's configuration says so; adapters are opened on weights in float32."""
    if find_adapter_config_file(str(source)) is not None:
        return False
    return AutoConfig.from_pretrained(source, trust_remote_code=False).dtype is torch.bfloat16


def lora_config(rank: int = 32, alpha: float = 16) -> LoraConfig:
    """Low-rank adapters on all linear layers but the output layer, for ``peft_config=`` of TRL's trainers.

    The defaults are the published ones (arXiv 2601.08403). Source: E. Hu et al., "LoRA", 2021.

    Args:
        rank: Rank of each adapter, at least 1.
        alpha: Above 0; an adapter's output is multiplied by alpha / rank.

    Raises:
        AgentError: A setting is out of range.
    """
    if rank < 1 or alpha <= 0:
        raise AgentError(f"expected a LoRA rank of at least 1 and an alpha above 0, but got {rank} and {alpha}")
    return LoraConfig(
        r=rank, lora_alpha=alpha, target_modules="all-linear", task_type=TaskType.CAUSAL_LM, inference_mode=False
    )


def _check_directory(directory: Path) -> None:
    """Check digests, and that the configuration names no kernel of the hub, which transformers would fetch and run."""
    check_digests(directory)
    path = directory / "config.json"
    if path.is_file():
        json.loads(path.read_bytes(), object_pairs_hook=lambda pairs: _refuse_kernels(path, pairs))


def _refuse_kernels(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, value in pairs:
        if key.endswith("_implementation") and "/" in str(value):
            raise AgentError(f"{path} asks for {key} {str(value)[:80]!r}, which is code of the hub; remove {key}")
    return dict(pairs)


def _four_bits(compute: torch.dtype) -> dict[str, Any]:
    if not torch.accelerator.is_available():
        raise AgentError("4-bit weights need a GPU, and there is none here; leave out load_4bit (--load-4bit)")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise AgentError(
            "4-bit weights need the package bitsandbytes; pip install bitsandbytes, or leave out "
            "load_4bit (--load-4bit)"
        )
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
    # Quantised weights cannot be moved later: each process puts them on its own device at once.
    return {"quantization_config": quantization, "device_map": {"": int(os.environ.get("LOCAL_RANK", "0"))}}


def _base_of(source: Path | str) -> Path | str:
    """Directory or hub id of an adapter's base model: as recorded, or beside the adapter if a whole run was moved."""
    recorded = PeftConfig.from_pretrained(str(source)).base_model_name_or_path
    if not recorded:
        raise AgentError(
            f"the adapter at {source} names no base model; write base_model_name_or_path into its adapter_config.json"
        )
    if Path(recorded).is_dir():
        return Path(recorded)
    if is_hub_id(recorded):
        return str(recorded)
    beside = Path(source).parent / Path(recorded).name
    if isinstance(source, Path) and beside.is_dir():
        return beside
    raise AgentError(
        f"the adapter at {source} belongs to the model at {recorded}, which does not exist; "
        "put it there, or copy the whole run"
    )
