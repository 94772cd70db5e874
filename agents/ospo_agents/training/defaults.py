"""Defaults of settings that depend on what training starts from: a new tiny policy, or one that was trained before.

A new policy needs rates that would destroy a trained one. What keeps a trained one from collapsing is the same for all
learners: a low rate that warms up, and a KL divergence to the warm start.
"""

from collections.abc import Mapping
from typing import Any

from ospo_agents.training.learners import LEARNERS
from ospo_agents.training.processes import processes
from ospo_agents.training.trl_parts import Values

__all__ = ["OF_START", "start_defaults", "warms_up"]

OF_START: Any = None
"""In the place of a default that :func:`start_defaults` decides."""

_FROM_SCRATCH: Mapping[str, Any] = {
    "learning_rate": 3e-4,
    "gradient_accumulation": 1,
    "warm_start_epochs": 3.0,
    "warm_start_learning_rate": 2e-3,
    "warmup_steps": 0,
}
_PRETRAINED: Mapping[str, Any] = {
    "learning_rate": 2e-5,
    "gradient_accumulation": 2,
    "warm_start_epochs": 3.0,
    "warm_start_learning_rate": 2e-4,
}
_KL = 0.02


def start_defaults(settings: Values) -> dict[str, Any]:
    """Defaults of rates, warm-up, KL and parts of a batch.

    Args:
        settings: Training settings by name, as they were given; a value of a wrong type is left to their check.

    Returns:
        Setting -> default. For a trained policy the KL is there if the learner's own default is none, unless the
        redistribution is ``potential``, which takes none; the parts of a batch are 2 where these come out whole.
    """
    if settings["policy"] is None:
        return dict(_FROM_SCRATCH)
    defaults = dict(_PRETRAINED)
    steps, algo, sizes = settings["steps"], settings["algo"], (settings["batch_size"], settings["group_size"])
    defaults["warmup_steps"] = -(-steps // 10) if isinstance(steps, int) and not warms_up(settings["trl"]) else 0
    learner = LEARNERS.get(algo) if isinstance(algo, str) else None
    if learner is not None and learner.defaults.get("kl") == 0 and settings["redistribution"] != "potential":
        defaults["kl"] = _KL
    if learner is not None and all(isinstance(size, int) and size > 0 for size in sizes):
        parts = defaults["gradient_accumulation"] * processes()
        defaults["gradient_accumulation"] = 1 if learner.examples_a_step(settings) % parts else 2
    return defaults


def warms_up(trl: object) -> bool:
    """Whether fields of TRL decide about a warm-up of the learning rate.

    >>> warms_up({"warmup_ratio": 0.1}), warms_up({"weight_decay": 0.1})
    (True, False)
    """
    if not isinstance(trl, Mapping):
        return False
    return "warmup_ratio" in trl or "warmup_steps" in trl or trl.get("lr_scheduler_type") == "constant"
