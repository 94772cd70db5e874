"""Seconds of the stages of a training step, logged by a trainer of TRL."""

import contextlib
from typing import Any, ClassVar

import torch

from ospo_agents.stopwatch import Stopwatch

__all__ = ["TimedSteps"]


class TimedSteps:
    """Mixin of a trainer of TRL: each step logs the seconds of its stages as ``time/*``; evaluation is not counted.

    Attributes:
        stages: Names of the stages; ``generation``, ``scoring`` and ``update`` are taken here.
    """

    stages: ClassVar[tuple[str, ...]] = ("generation", "scoring", "update")

    def __init__(self, *arguments: Any, args: Any, **settings: Any) -> None:
        # Work still queued on a device would otherwise count in a later stage.
        settle = torch.accelerator.synchronize if args.device.type != "cpu" else (lambda: None)
        self._watch = Stopwatch(self.stages, settle)
        super().__init__(*arguments, args=args, **settings)  # type: ignore[call-arg]

    def training_step(self: Any, *arguments: Any) -> torch.Tensor:
        """TRL's step of one micro-batch, with its time logged."""
        with self._watch("update"):
            loss: torch.Tensor = super().training_step(*arguments)  # type: ignore[misc]
        if self._step % self.current_gradient_accumulation_steps == 0:
            for stage, seconds in self._watch.take().items():
                self._metrics["train"][f"time/{stage}"].append(seconds)
        return loss

    def _generate(self: Any, prompts: list[Any]) -> Any:
        with self._timed("generation"):
            return super()._generate(prompts)  # type: ignore[misc]

    def _calculate_rewards(self: Any, *arguments: Any) -> torch.Tensor:
        with self._timed("scoring"):
            rewards: torch.Tensor = super()._calculate_rewards(*arguments)  # type: ignore[misc]
        return rewards

    def _timed(self: Any, stage: str) -> contextlib.AbstractContextManager[None]:
        """Count the time of a stage of training."""
        watched: contextlib.AbstractContextManager[None] = self._watch(stage)
        return watched if self.model.training else contextlib.nullcontext()
