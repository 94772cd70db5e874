"""The task in turns as TRL's ``environment_factory``: a tool that searches, and the reward of the episode.

``GRPOTrainer(..., environment_factory=functools.partial(SearchSession, task), train_dataset=...)`` gives each rollout a
session; rows of the data set have a column ``prompt_id``. TRL itself is not imported.
"""

from typing import Any

from ospo_env.errors import RetrieverError, TaskError
from ospo_env.turns.actions import one_line
from ospo_env.turns.conversation import Turn, shown_titles
from ospo_env.turns.task import SearchTask

__all__ = ["NO_TURN_LEFT", "SearchSession"]

NO_TURN_LEFT = "no search is left; answer now"
"""The reply to a search beyond the last turn, which is not made and costs nothing."""


class SearchSession:
    """An episode as TRL plays it: ``reset``, searches by tool calls, ``get_reward``. Only ``search`` is a tool.

    Args:
        task: The task.
    """

    def __init__(self, task: SearchTask) -> None:
        self._task = task
        self._prompt_id: str | None = None
        self._turns: list[Turn] = []
        self._failure: RetrieverError | None = None

    def reset(self, *, prompt_id: str | None = None, **_columns: Any) -> None:
        """Start an episode.

        Args:
            prompt_id: Id of the prompt, a column of the data set.
            **_columns: The other columns of the row, which TRL passes too.

        Raises:
            TaskError: The data set has no such column, or the id is unknown.
        """
        if prompt_id is None:
            raise TaskError("expected a column prompt_id in the data set of a search session; got none")
        self._task.query(prompt_id)
        self._prompt_id, self._turns, self._failure = prompt_id, [], None

    def search(self, query: str) -> str:
        """Search the shop.

        Args:
            query: Words to search for.

        Returns:
            Titles of the products that fit best, best first, a line each.
        """
        if self._prompt_id is None:
            raise TaskError("expected reset before a search")
        if len(self._turns) == self._task.max_turns:
            return NO_TURN_LEFT
        try:
            (turn,) = self._task.search([self._prompt_id], [one_line(query)])
        except RetrieverError as error:
            self._failure = error  # TRL tells the policy and goes on, but a failure is no reward
            raise
        self._turns.append(turn)
        return "\n".join(shown_titles(turn.titles, turn.outcome.ranking))

    def get_reward(self) -> float:
        """The reward of the episode: the best metric less a price a search, 0 without one.

        Raises:
            RetrieverError: A search of the episode failed.
            TaskError: There is no episode.
        """
        if self._prompt_id is None:
            raise TaskError("expected reset before a reward")
        if self._failure is not None:
            raise self._failure
        return self._task.earned(self._turns)
