"""Rows of the environments: steps a second."""

from argparse import Namespace

import gymnasium as gym
import numpy as np

from ospo_cli._benchmark.rows import Row, interleaved
from ospo_env import RewriteEnv

__all__ = ["environment_rows"]

_ENV = "OSPO-ESCI-v0"
_WIDE = 256
_SINGLE = 1000
_WORDS = 8


def environment_rows(arguments: Namespace) -> list[Row]:
    """Rows of the native vector environment and of a single one, on texts that no cache has seen."""
    wide = 4 if arguments.quick else 20
    envs = gym.make_vec(_ENV, num_envs=_WIDE)
    single = gym.make(_ENV)
    assert isinstance(single.unwrapped, RewriteEnv)
    words = sorted({word for text in single.unwrapped.task.data.documents["text"].head(500) for word in text.split()})
    rng = np.random.default_rng(0)

    def texts(number: int) -> list[str]:
        return [" ".join(rng.choice(words, _WORDS)) for _ in range(number)]

    envs.reset(seed=0)
    single.reset(seed=0)
    batches = [texts(_WIDE) for _ in range(wide * (arguments.repeats + 1))]
    lines = [texts(_SINGLE) for _ in range(arguments.repeats)]

    def step_wide() -> None:
        for _ in range(wide):
            envs.step(batches.pop())

    def step_single() -> None:
        for text in lines.pop():
            single.reset()
            single.step(text)

    step_wide()
    wide_seconds, single_seconds = interleaved([step_wide, step_single], arguments.repeats)
    rate = wide * _WIDE / wide_seconds
    return [
        Row(f"make_vec(num_envs={_WIDE}) with bm25", ">= 20,000 steps a second", rate, "steps a second", least=20_000),
        Row(f"{_SINGLE:,} single steps with bm25", "<= 1 s", single_seconds, "s", most=1.0),
    ]
