"""An engine's index as its retriever sees it, and the check that it holds a corpus."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from envs_data.errors import one_line
from ospo_env.errors import TaskError
from ospo_env.retrievers.engines.requests import Limits, answer_all

__all__ = ["Index", "Search", "check_ids"]

_IDS_AT_ONCE = 5_000  # ids of a request that counts them


class Search(NamedTuple):
    """A text to score on some documents.

    Attributes:
        text: The text, not blank.
        ids: Ids of the documents; searches on one pool share the object.
    """

    text: str
    ids: Sequence[str]


class Index(Protocol):
    """An engine's index, in terms of its own ids. It can be pickled, and opens connections when it needs them.

    Methods that take ``seconds`` are called by several threads at once. They raise
    :class:`~ospo_env.retrievers.engines.requests.Unavailable` where repeating is worth while, and ``RetrieverError`` or
    ``TaskError`` elsewhere; no message holds a secret.

    Attributes:
        kind: Name of the retriever.
        place: Words for the index in messages, such as ``"the table docs"``.
        window: Largest number of documents that :meth:`best` returns.
    """

    kind: str
    place: str
    window: int

    def identity(self, seconds: float) -> Mapping[str, Any]:
        """JSON-able properties that change when the content of the index does, its number of documents among them."""
        ...

    def count(self, ids: Sequence[str], seconds: float) -> int | None:
        """Number of documents of the index that have one of the ids; ``None`` where it cannot be asked."""
        ...

    def scores(self, searches: Sequence[Search], seconds: float) -> list[Mapping[str, float]]:
        """For each search the finite scores of those of its documents that match, by id."""
        ...

    def best(self, text: str, k: int, seconds: float) -> list[tuple[str, float]]:
        """Ids and scores of the best k documents of the index that match, best first; fewer where fewer match."""
        ...


def check_ids(index: Index, ids: Sequence[str], limits: Limits) -> None:
    """Raise a ``TaskError`` unless an index holds each document once, as far as it can be asked.

    Args:
        index: The index.
        ids: Ids of the documents.
        limits: Bounds on requests.

    Raises:
        TaskError: Documents are missing, or there are several of one id.
        RetrieverError: The index did not answer in time.
    """
    blocks = [ids[first : first + _IDS_AT_ONCE] for first in range(0, len(ids), _IDS_AT_ONCE)]
    counts = [
        (block, count)
        for block, count in zip(blocks, answer_all(index.count, blocks, limits), strict=True)
        if count is not None
    ]
    lacking = [(block, len(block) - count) for block, count in counts if count < len(block)]
    if lacking:
        raise TaskError(
            f"expected {index.place} to hold the {len(ids):,} documents of the corpus under their ids; "
            f"{sum(missing for _, missing in lacking):,} are missing, {_missing(index, lacking[0][0], limits)!r} among "
            "them; index them, or name the field of ids with id=FIELD"
        )
    if doubled := sum(count - len(block) for block, count in counts):
        raise TaskError(
            f"expected each document of the corpus once in {index.place}; {doubled:,} more have the same ids"
        )


def _missing(index: Index, ids: Sequence[str], limits: Limits) -> str:
    """One of some ids that an index lacks, shortened."""
    while len(ids) > 1:
        half = ids[: len(ids) // 2]
        (count,) = answer_all(index.count, [half], limits)
        ids = half if count is not None and count < len(half) else ids[len(ids) // 2 :]
    return one_line(ids[0], 60)
