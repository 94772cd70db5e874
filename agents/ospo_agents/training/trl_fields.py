"""Settings that go to TRL by their own names: checked against TRL's fields, refused where this project decides."""

import difflib
import enum
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ospo_agents.errors import AgentError, unknown
from ospo_agents.training.learners import OF_SOME, Learner
from ospo_agents.training.trl_parts import CREDIT

__all__ = ["adapter_fields", "check_names", "check_values", "config_fields"]

_OWN: dict[str, str] = {
    "activation_checkpointing": "activation_checkpointing",
    "auto_find_batch_size": "batch_size",
    "beta": "kl",
    "bf16": "bf16",
    "do_eval": "eval_steps",
    "eval_delay": "eval_steps",
    "eval_on_start": "eval_steps",
    "eval_steps": "eval_steps",
    "eval_strategy": "eval_steps",
    "generation_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation",
    "gradient_checkpointing": "activation_checkpointing",
    "greater_is_better": "keep",
    "learning_rate": "learning_rate",
    "load_best_model_at_end": "keep",
    "load_in_4bit": "load_4bit",
    "lora_alpha": "lora_alpha",
    "lora_r": "lora_rank",
    "loss_type": "loss_type",
    "max_completion_length": "max_completion_length",
    "max_steps": "steps",
    "metric_for_best_model": "keep",
    "model_name_or_path": "policy",
    "num_generations": "group_size",
    "num_iterations": "num_iterations",
    "num_train_epochs": "steps",
    "output_dir": "out",
    "per_device_train_batch_size": "batch_size",
    "resume_from_checkpoint": "resume",
    "save_steps": "save_steps",
    "save_strategy": "save_steps",
    "seed": "seed",
    "steps_per_generation": "num_iterations",
    "temperature": "temperature",
    "use_vllm": "vllm",
    "vllm_mode": "vllm",
    **{name: name for name in CREDIT},
}
"""Fields that settings of this project decide: TRL's name -> the setting."""

_FIXED: dict[str, str] = {
    "disable_tqdm": "the run has a bar of its own",
    "hub_token": "run.json would show it; log in to the hub instead",
    "ignore_data_skip": "a resumed run sees the prompts that it would have seen",
    "log_level_replica": "it is that of the first process",
    "logging_steps": "every step is logged",
    "logging_strategy": "every step is logged",
    "model_init_kwargs": "the policy is open before the trainer is made",
    "push_to_hub": "upload policy/ when the run is finished",
    "remove_unused_columns": "rewards need the ids of the prompts",
    "save_only_model": "a checkpoint holds all that going on needs",
    "trust_remote_code": "code that comes with a model is never run",
    "use_cpu": "an accelerator is used where torch finds one",
}
"""Fields that this project decides without a setting: TRL's name -> the reason."""

_ADAPTER: dict[str, str] = {
    "lora_dropout": "lora_dropout",
    "lora_modules_to_save": "modules_to_save",
    "lora_target_modules": "target_modules",
    "lora_target_parameters": "target_parameters",
    "use_dora": "use_dora",
    "use_rslora": "use_rslora",
}
"""Fields of TRL's ``ModelConfig`` that describe adapters: TRL's name -> PEFT's."""

_OF_GENERATION: dict[str, str] = {
    "do_sample": "temperature",
    "max_length": "max_completion_length",
    "max_new_tokens": "max_completion_length",
    "max_tokens": "max_completion_length",
    "n": "group_size",
    "num_return_sequences": "group_size",
    "temperature": "temperature",
}
"""Names of ``generation_kwargs``, transformers' and vLLM's, that settings of this project decide."""

_RENAMED = {"warmup_ratio": "warmup_steps"}  # which takes a share of all steps too
_REPORTERS_FOR_ALL = ("none", "all")


def check_names(values: Mapping[str, Any], learner: Learner, spell: Callable[[str], str] = str) -> None:
    """Refuse the fields that this project decides, with the name of its own setting. TRL is not imported.

    Args:
        values: Fields by TRL's names.
        learner: The learner: it decides only what it has a setting for.
        spell: Spelling of a setting's name in messages.

    Raises:
        AgentError: A field is decided here.
    """
    for name in values:
        own = _OWN.get(name)
        if own is not None and (own not in OF_SOME or own in learner.defaults):
            raise AgentError(f"{spell('trl')}: {name} is {spell(own)} here; set that one")
        if name in _FIXED:
            raise AgentError(f"{spell('trl')}: {name} cannot be set: {_FIXED[name]}")
    generation = values.get("generation_kwargs")
    for name in generation if isinstance(generation, Mapping) else ():
        if name in _OF_GENERATION:
            own = spell(_OF_GENERATION[name])
            raise AgentError(f"{spell('trl')}: {name} of generation_kwargs is {own} here; set that one")
    for name, other in _RENAMED.items():
        if name in values and other in values:
            raise AgentError(f"{spell('trl')}: {name} and {other} are the same; give one of them")


def check_values(values: Mapping[str, Any], learner: Learner, *, adapters: bool) -> None:
    """Check names and types against the fields of TRL's own classes.

    Args:
        values: Fields by TRL's names.
        learner: The learner, whose class of settings they go to.
        adapters: Whether adapters are trained; their fields mean nothing without.

    Raises:
        AgentError: A field is unknown, has a value of the wrong type, or names a reporter that is not installed.
    """
    from trl import ModelConfig

    hints = {**typing.get_type_hints(learner.config()), **dict.fromkeys(_RENAMED, float)}
    model_hints = typing.get_type_hints(ModelConfig)
    hints |= {name: model_hints[name] for name in _ADAPTER} | {"lora_target_modules": str | list[str]}
    for name, value in values.items():
        if name not in hints:
            near = difflib.get_close_matches(name, [key for key in hints if key not in {**_OWN, **_FIXED}], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise AgentError(f"trl (--trl): {learner.config_name} has no field {name!r}{hint}")
        if name in _ADAPTER and not adapters:
            raise AgentError(f"trl (--trl): {name} is of adapters; add lora_rank (--lora-rank), for example 32")
        kinds = _kinds(hints[name])
        if not any(_is_a(value, kind) for kind in kinds):
            raise AgentError(
                f"trl (--trl): expected {name} as {' or '.join(kind.__name__ for kind in kinds)}, got {value!r}"
                + (" (YAML reads 1e-4 as text; write 1.0e-4)" if isinstance(value, str) and float in kinds else "")
            )
    _check_reporters(values.get("report_to", "none"))


def config_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields for the learner's class of settings. A warm-up of the learning rate asks for a schedule that has one."""
    fields = {_RENAMED.get(name, name): value for name, value in values.items() if name not in _ADAPTER}
    if "warmup_steps" in fields:
        fields.setdefault("lr_scheduler_type", "constant_with_warmup")
    return fields


def adapter_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields for ``peft.LoraConfig``."""
    return {_ADAPTER[name]: value for name, value in values.items() if name in _ADAPTER}


def _kinds(hint: Any) -> list[type]:
    """The classes that a type hint names, the parts of a union each."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [kind for part in typing.get_args(hint) for kind in _kinds(part)]
    origin = typing.get_origin(hint) or hint
    return [origin if isinstance(origin, type) else object]


def _is_a(value: object, kind: type) -> bool:
    """Whether a value of YAML is of a class; a whole number is a float too, texts name members of enumerations."""
    if isinstance(value, bool) and kind is not object:
        return kind in (bool, str)  # TRL's older switches became names, which it still reads
    if issubclass(kind, enum.Enum):
        return isinstance(value, str)
    return isinstance(value, int | float if kind is float else kind)


def _check_reporters(names: str | Iterable[str] | None) -> None:
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    names = [names] if isinstance(names, str) else list(names or ())
    for name in names:
        if name in _REPORTERS_FOR_ALL:
            continue
        if name not in INTEGRATION_TO_CALLBACK:
            raise unknown("reporter", name, [*INTEGRATION_TO_CALLBACK, *_REPORTERS_FOR_ALL])
        if name not in get_available_reporting_integrations():
            raise AgentError(f"trl (--trl): report_to {name} needs a package that is not installed: {name}")
