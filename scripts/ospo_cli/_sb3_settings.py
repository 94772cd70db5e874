"""Algorithms of Stable-Baselines3 that are offered, with their settings here. Plain data."""

from typing import Any

__all__ = ["ACTIONS", "ALGOS", "PHRASES", "SETTINGS", "STEPS"]

ALGOS = {"ppo": "proximal policy optimisation", "a2c": "advantage actor-critic", "dqn": "deep Q-learning"}

ACTIONS = ("multidiscrete", "multibinary", "templates")
"""Kinds of actions: those of ``ospo_env.wrappers.KeywordActions``, and one of some templates."""

SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 32, "batch_size": 256, "n_epochs": 8, "ent_coef": 1e-3, "learning_rate": 1e-3},
    "a2c": {
        "n_steps": 4,
        "ent_coef": 5e-3,
        "normalize_advantage": True,
        "use_rms_prop": False,
        "learning_rate": 3e-3,
    },
    "dqn": {
        "learning_starts": 1000,
        "train_freq": 4,
        "gradient_steps": 16,
        "batch_size": 128,
        "exploration_fraction": 0.7,
        "learning_rate": 1e-3,
    },
}
"""Settings of each algorithm where the command line names none."""

PHRASES = {"ppo": 64, "a2c": 32, "dqn": 32}
"""Phrases of the catalogue that each algorithm chooses from."""

STEPS = {"ppo": 30_000, "a2c": 30_000, "dqn": 20_000}
"""Steps of the environments, all together."""
