"""The native vector environment in turns: N episodes at once, with one retriever call a step."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ospo_env.prompt_vector import PromptVectorEnv, VectorArray, VectorTexts
from ospo_env.turns.actions import read_action
from ospo_env.turns.env import SearchEnv

__all__ = ["SearchVectorEnv"]


class SearchVectorEnv(PromptVectorEnv[SearchEnv]):
    """N environments that step together; equal to N :class:`~ospo_env.SearchEnv` in every number and ``info``.

    An episode that ends starts the next one in the same step (``SAME_STEP``): its observation is the *next* prompt,
    ``infos["final_obs"]`` holds the conversation that ended and ``infos["final_info"]`` the ``info`` of its last step;
    the other keys are those of ``reset`` there, and those of ``step`` where the episode goes on. Their layout is that
    of Gymnasium's ``SyncVectorEnv``: a boolean mask ``_key`` beside each ``key``.

    Attributes:
        task: The one task behind all N environments.

    Args:
        num_envs: N, at least 1.
        arguments: Arguments of :class:`~ospo_env.SearchEnv`.

    Raises:
        TaskError: As ``SearchEnv``, or ``num_envs`` is not a whole number of at least 1.
        DataError: As ``SearchEnv``.
    """

    def __init__(self, num_envs: int = 1, **arguments: Any) -> None:
        super().__init__(partial(SearchEnv, **arguments), num_envs)
        self.task = self._envs[0].task

    def step(self, actions: Sequence[str]) -> tuple[VectorTexts, VectorArray, VectorArray, VectorArray, dict[str, Any]]:
        """Make the searches of N actions, end the episodes that they end, and start the next in their places.

        Args:
            actions: N strings.

        Returns:
            N conversations, rewards float64 (N,), terminations bool (N,), truncations bool (N,), all ``False``, and
            infos.

        Raises:
            TypeError: The actions are not a sequence of strings.
            TaskError: Their number is not N.
            ResetNeeded: ``reset`` was not called yet.
            RetrieverError: The retriever failed; all episodes go on.
        """
        searches = [read_action(action) for action in self._actions(actions)]
        for env in self._envs:
            env.check_running()
        made = [(index, search) for index, search in enumerate(searches) if search is not None]
        turns = self.task.search([self._envs[index].prompt_id for index, _ in made], [search for _, search in made])
        turn_of = {index: turn for (index, _), turn in zip(made, turns, strict=True)}
        infos: dict[int, dict[str, Any]] = {}
        rewards = np.zeros(self.num_envs, dtype=np.float64)
        terminations = np.zeros(self.num_envs, dtype=np.bool_)
        for index, env in enumerate(self._envs):
            observation, rewards[index], terminations[index], _, info = env.proceed(turn_of.get(index))
            if terminations[index]:
                self._observations[index], opening = env.reset()
                infos[index] = {"final_obs": observation, "final_info": info, **opening}
            else:
                self._observations[index], infos[index] = observation, info
        return self._texts(), rewards, terminations, np.zeros_like(terminations), self._laid_out(infos)
