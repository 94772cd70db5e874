"""A task that sessions of a server share: its prompts by place, and its outcomes in batches."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from envs_data import SPLITS
from envs_data.errors import unknown_name
from ospo_env.errors import TaskError
from ospo_env.integrations.batches import Batches
from ospo_env.outcomes import Outcome
from ospo_env.spaces import FreeText, check_action
from ospo_env.task import RetrievalTask

__all__ = ["Credit", "MissingTaskError", "Rewrite", "SegmentCredit", "SharedTask"]

_ACTIONS = FreeText()


SegmentCredit: TypeAlias = tuple[int, int, float]
"""First character of a segment, the one after its last, and its credit in the unit of the reward."""


class Rewrite(NamedTuple):
    """A rewrite to measure.

    Attributes:
        query_id: Id of the prompt.
        text: The rewrite.
        credit: Whether credit of its segments is asked for.
    """

    query_id: str
    text: str
    credit: bool = False


Credit: TypeAlias = Callable[[Sequence[str], Sequence[str]], Sequence[Sequence[SegmentCredit]]]
"""From prompt ids and rewrites, B of each, to the credit of each rewrite's segments, in one call."""


class MissingTaskError(TaskError, IndexError):
    """A place beyond the end of a split; an ``IndexError`` as well, which servers answer as a bad request."""


class SharedTask:
    """A task for many sessions.

    Args:
        task: The task.
        credit: Gives the credit of segments; None where no session may ask for it.

    Attributes:
        task: The task.
        batches: From a :class:`Rewrite` to its outcome and credit, in one call with those of other sessions.
    """

    def __init__(self, task: RetrievalTask, credit: Credit | None = None) -> None:
        self.task = task
        self._credit = credit
        self._prompts = {split: task.prompts(split) for split in SPLITS}
        self._places = {
            query_id: (split, row) for split, (ids, _) in self._prompts.items() for row, query_id in enumerate(ids)
        }
        self.batches: Batches[Rewrite, tuple[Outcome, Sequence[SegmentCredit]]] = Batches(self.measure)

    @property
    def splits(self) -> list[str]:
        """Names of the splits."""
        return list(self._prompts)

    def count(self, split: str) -> int:
        """Number of prompts in a split, at least 1.

        Raises:
            TaskError: There is no such split, or it has no prompts.
        """
        if split not in self._prompts:
            raise TaskError(unknown_name("split", split, self._prompts))
        if not self._prompts[split][0]:
            raise TaskError(f"expected prompts in the split {split!r}, but it has none")
        return len(self._prompts[split][0])

    def prompt(self, split: str, row: int) -> tuple[str, str]:
        """Id and text of a prompt.

        Raises:
            TaskError: There is no such split.
            MissingTaskError: The place is not in the split.
        """
        count = self.count(split)
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < count:
            raise MissingTaskError(f"expected an index in 0 .. {count - 1} of the split {split!r}; got {row!r}")
        ids, texts = self._prompts[split]
        return ids[row], texts[row]

    def place(self, query_id: str) -> tuple[str, int]:
        """Split and place of a prompt.

        Raises:
            TaskError: There is no such id.
        """
        if query_id not in self._places:
            raise TaskError(unknown_name("query_id", query_id, self._places))
        return self._places[query_id]

    def check(self, rewrite: Rewrite) -> Rewrite:
        """A rewrite that can be measured, so that none fails a batch with others.

        Raises:
            TaskError: The text is too long, or credit is asked for and not known.
        """
        if rewrite.credit and self._credit is None:
            raise TaskError("this server gives no credit; start it with credit, or leave credit out of the action")
        check_action(rewrite.text, _ACTIONS)
        return rewrite

    def measure(self, rewrites: Sequence[Rewrite]) -> list[tuple[Outcome, Sequence[SegmentCredit]]]:
        """Outcomes of rewrites in one call of the task, and credit, in a second, of those that ask for it.

        Raises:
            RetrieverError: The retriever failed.
        """
        outcomes = self.task.outcomes([one.query_id for one in rewrites], [one.text for one in rewrites])
        segments: list[Sequence[SegmentCredit]] = [()] * len(rewrites)
        asked = [row for row, one in enumerate(rewrites) if one.credit]
        if asked and self._credit is not None:
            credits = self._credit([rewrites[row].query_id for row in asked], [rewrites[row].text for row in asked])
            for row, shares in zip(asked, credits, strict=True):
                segments[row] = shares
        return list(zip(outcomes, segments, strict=True))
