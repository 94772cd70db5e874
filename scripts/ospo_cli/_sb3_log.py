"""Progress bar and JSON Lines log of a Stable-Baselines3 agent."""

import json
import time
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from ospo_agents.progress_bar import progress_bar

__all__ = ["RewardLog"]

_ROWS = 50


class RewardLog(BaseCallback):
    """A tqdm bar over environment steps, and a line of JSON some fifty times.

    The reward is the environment's own, whatever wrappers make of it: that of ``Monitor``, which stands below them.

    Attributes:
        rows: The lines: ``step``, ``reward`` (mean since the line before) also under its metric's name, ``seconds``.

    Args:
        path: The log.
        label: Stands before the bar.
        steps: Steps of all environments together.
        metric: Name of the metric that is the reward.
    """

    def __init__(self, path: Path, label: str, steps: int, metric: str) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []
        self._path, self._label, self._steps, self._metric = path, label, steps, metric
        self._rewards: list[float] = []
        self._started = time.perf_counter()
        self._bar: Any = None

    def _on_training_start(self) -> None:
        self._bar = progress_bar(total=self._steps, desc=self._label)

    def _on_step(self) -> bool:
        self._rewards += [info["episode"]["r"] for info in self.locals["infos"]]
        self._bar.update(min(self.num_timesteps, self._steps) - self._bar.n)
        if self.num_timesteps >= (len(self.rows) + 1) * self._steps / _ROWS:
            self._write()
        return True

    def _on_training_end(self) -> None:
        if self._rewards:
            self._write()
        self._bar.close()

    def _write(self) -> None:
        reward = sum(self._rewards) / len(self._rewards)
        self._rewards.clear()
        seconds = round(time.perf_counter() - self._started, 3)
        self.rows.append({"step": self.num_timesteps, "reward": reward, self._metric: reward, "seconds": seconds})
        with self._path.open("a") as stream:
            stream.write(json.dumps(self.rows[-1]) + "\n")
        self._bar.set_postfix({self._metric: f"{reward:.3f}"})
