"""The native vector environment: N episodes at once, with one retriever call a step."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ospo_env.env import RewriteEnv
from ospo_env.prompt_vector import PromptVectorEnv, VectorArray, VectorTexts

__all__ = ["RewriteVectorEnv"]


class RewriteVectorEnv(PromptVectorEnv[RewriteEnv]):
    """N environments that step together; equal to N :class:`~ospo_env.env.RewriteEnv` in every number and ``info``.

    Every step ends every episode, and each environment starts its next one in the same step (``SAME_STEP``): the
    observations are the *next* prompts, ``infos["final_obs"]`` holds the prompts that the actions answered and
    ``infos["final_info"]`` the ``info`` of ``RewriteEnv.step`` for them; the other keys are those of
    ``RewriteEnv.reset``. Their layout is that of Gymnasium's ``SyncVectorEnv``: a boolean mask ``_key`` beside each
    ``key``.

    Attributes:
        task: The one task behind all N environments.

    Args:
        num_envs: N, at least 1.
        arguments: Arguments of :class:`~ospo_env.env.RewriteEnv`.

    Raises:
        TaskError: As ``RewriteEnv``, or ``num_envs`` is not a whole number of at least 1.
        DataError: As ``RewriteEnv``.
    """

    def __init__(self, num_envs: int = 1, **arguments: Any) -> None:
        super().__init__(partial(RewriteEnv, **arguments), num_envs)
        self.task = self._envs[0].task

    def step(self, actions: Sequence[str]) -> tuple[VectorTexts, VectorArray, VectorArray, VectorArray, dict[str, Any]]:
        """Score N rewrites, end N episodes and start the next.

        Args:
            actions: N strings.

        Returns:
            The N next prompts, rewards float64 (N,) in [0, 1], terminations bool (N,), all ``True``, truncations bool
            (N,), all ``False``, and infos.

        Raises:
            TypeError: The actions are not a sequence of strings.
            TaskError: Their number is not N.
            ResetNeeded: ``reset`` was not called yet.
            RetrieverError: The retriever failed.
        """
        texts = self._actions(actions)
        for env in self._envs:
            env.check_running()
        outcomes = self.task.outcomes([env.prompt_id for env in self._envs], texts)
        infos: dict[int, dict[str, Any]] = {}
        rewards = np.zeros(self.num_envs, dtype=np.float64)
        for index, (env, text, outcome) in enumerate(zip(self._envs, texts, outcomes, strict=True)):
            final_obs, rewards[index], _, _, final_info = env.conclude(text, outcome)
            self._observations[index], info = env.reset()
            infos[index] = {"final_obs": final_obs, "final_info": final_info, **info}
        terminations = np.ones(self.num_envs, dtype=np.bool_)
        return self._texts(), rewards, terminations, np.zeros_like(terminations), self._laid_out(infos)
