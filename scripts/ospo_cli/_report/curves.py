"""Learning curves with intervals: the reward against steps, as numbers."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from scipy.special import stdtrit

from ospo_agents import AgentError
from ospo_agents.training.run_directory import METRIC
from ospo_cli._report.runs import Run
from ospo_env.evaluation.intervals import Interval, seed_interval

__all__ = ["Curve", "Point", "block_means", "learning_curves", "rewards", "step_band", "step_bands"]

_BLOCKS = 20
_LEAST = 5  # steps of a block


class Point(NamedTuple):
    """A stretch of a learning curve.

    Attributes:
        first: Its first step.
        last: Its last step.
        reward: Mean reward and its 95 % interval.
    """

    first: int
    last: int
    reward: Interval

    @property
    def middle(self) -> float:
        """The step at which it is drawn."""
        return (self.first + self.last) / 2


class Curve(NamedTuple):
    """Runs that differ in the seed alone.

    Attributes:
        label: Label of the values.
        runs: One a seed.
        points: Their mean reward: over seeds where there are several, else over the steps of each block.
    """

    label: str
    runs: list[Run]
    points: list[Point]


def learning_curves(groups: Sequence[Sequence[Run]]) -> list[Curve]:
    """One curve for each group of runs; groups whose learner logs no reward are left out.

    Raises:
        AgentError: Runs of a group have rewards of different steps.
    """
    curves = []
    for group in groups:
        logged = [rewards(run) for run in group]
        if not all(logged):
            continue
        if len({tuple(step for step, _ in of_run) for of_run in logged}) > 1:
            listed = ", ".join(str(run.path) for run in group)
            raise AgentError(f"--run: the logs of {listed} have rewards of different steps")
        blocks = [block_means(of_run) for of_run in logged]
        points = blocks[0]
        if len(group) > 1:
            points = [
                Point(of_seeds[0].first, of_seeds[0].last, seed_interval([point.reward.value for point in of_seeds]))
                for of_seeds in zip(*blocks, strict=True)  # equal settings, so equal steps
            ]
        curves.append(Curve(_label(group, groups), list(group), points))
    return curves


def block_means(means: Sequence[tuple[int, float]]) -> list[Point]:
    """Means over blocks of steps with Student's interval over the steps of a block.

    Steps draw prompts anew, so that their means are nearly independent, which the rollouts of one prompt are not.
    Blocks are equally long, of 5 steps at least, and about 20; what is left over joins the last one.

    Args:
        means: Step and its mean reward, in order; at least one.
    """
    size = max(_LEAST, math.ceil(len(means) / _BLOCKS))
    count = max(len(means) // size, 1)
    edges = [*range(0, count * size, size), len(means)]
    blocks = [means[start:end] for start, end in pairwise(edges)]
    return [Point(block[0][0], block[-1][0], seed_interval([reward for _, reward in block])) for block in blocks]


def step_band(mean: float, deviation: float, rollouts: int) -> tuple[float, float]:
    """95 % interval of a step's mean reward, from its rollouts' standard deviation, as if they were independent.

    >>> low, high = step_band(0.5, 0.2, 64)
    >>> round(low, 3), round(high, 3)
    (0.45, 0.55)
    """
    half = float(stdtrit(rollouts - 1, 0.975)) * deviation / math.sqrt(rollouts) if rollouts > 1 else math.nan
    return mean - half, mean + half


def rewards(run: Run) -> list[tuple[int, float]]:
    """Steps of a run and their mean rewards, in order."""
    return [(row["step"], row["reward"]) for row in _rewarded(run)]


def step_bands(run: Run) -> list[tuple[tuple[int, float], tuple[float, float]]]:
    """Steps of a run with their mean rewards, each with the ends of its :func:`step_band`."""
    rollouts = run.arguments["batch_size"]
    bands = [step_band(row["reward"], row.get("reward_std", math.nan), rollouts) for row in _rewarded(run)]
    return list(zip(rewards(run), bands, strict=True))


def _rewarded(run: Run) -> list[dict[str, Any]]:
    """Rows of the log that hold a reward; the metric takes the place of a contrast, and its spread is not known."""
    rows = [row for row in run.rows if isinstance(row.get("reward"), float) and math.isfinite(row["reward"])]
    return [{**row, "reward": row[METRIC], "reward_std": math.nan} if METRIC in row else row for row in rows]


def _label(group: Sequence[Run], groups: Sequence[Sequence[Run]]) -> str:
    """A label: the learner, the settings that only these runs have, and their seeds."""
    settings = group[0].settings
    differing = [
        name
        for name in settings
        if name != "algo" and any(other[0].settings.get(name) != settings[name] for other in groups)
    ]
    apart = [f"{name} {settings[name]}" for name in differing if settings[name] not in (None, {})]
    seeds = f"{len(group)} seeds" if len(group) > 1 else f"seed {group[0].arguments['seed']}"
    return ", ".join([settings["algo"].upper(), *apart, seeds])
