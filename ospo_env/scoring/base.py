"""The interface of both scorers with their one constructor, and the helpers that they share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_env.metrics import Metric
from ospo_env.retrievers.base import Retriever
from ospo_env.scoring.candidate_pools import CandidatePools
from ospo_env.scoring.composer import Composer
from ospo_env.scoring.text_cache import CACHE_BYTES, Key, TextCache

__all__ = ["Measured", "Scorer", "split_values"]


class Measured(NamedTuple):
    """Metrics and rankings of B texts.

    Attributes:
        values: M metrics, float64 (M, B) in [0, 1].
        rankings: Document rows of each ranking, best first; documents that the text does not match are absent.
    """

    values: NDArray[np.float64]
    rankings: list[NDArray[np.int32]]


class Scorer(ABC):
    """Ranks documents for texts and measures the rankings.

    A method calls the retriever only for texts that are not in the scorer's cache, each distinct one once. Neither the
    cache nor the other texts of a call change a value. Queries are rows of the candidate pools.

    Args:
        retriever: The retriever that ranks.
        pools: Candidate pools and judgements of all queries.
        metric: The metric of rewards and worths.
        composer: Makes the texts that the retriever is sent.
        cache_bytes: Bound on the size of the cache.
    """

    def __init__(
        self,
        retriever: Retriever,
        pools: CandidatePools,
        metric: Metric,
        composer: Composer,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._retriever = retriever
        self._pools = pools
        self._metric = metric
        self._composer = composer
        self._cache = TextCache(cache_bytes)

    @property
    def counters(self) -> Mapping[str, int]:
        """Work since the scorer was made.

        ``asked``: texts and coalitions passed to it. ``distinct``: texts whose scores were needed, after duplicates
        were removed within each call; a linear retriever needs those of segments, not of coalitions. ``cached``: those
        of them that earlier calls had left in the cache. So the retriever has scored ``distinct - cached`` texts.
        """
        return self._cache.counters

    def _sent(self, kept: Iterable[Key]) -> list[Key]:
        """Queries and the texts that are sent, from queries and the parts of rewrites that are kept."""
        pairs = list(kept)
        queries = [query for query, _ in pairs]
        return list(zip(queries, self._composer.texts(queries, [text for _, text in pairs]), strict=True))

    @abstractmethod
    def measured(self, queries: NDArray[np.int64], texts: Sequence[str], metrics: Sequence[Metric]) -> Measured:
        """Metrics and rankings of B rewrites, capped, from one scoring."""

    @abstractmethod
    def rewards(self, queries: NDArray[np.int64], texts: Sequence[str]) -> NDArray[np.float64]:
        """The scorer's metric of each rewrite's ranking, float64 (B,) in [0, 1]; rewrites are capped."""

    @abstractmethod
    def worths(
        self,
        queries: NDArray[np.int64],
        texts: Sequence[str],
        spans: Sequence[NDArray[np.int64]],
        coalitions: Sequence[NDArray[np.bool_]],
    ) -> list[NDArray[np.float64]]:
        """The worth of each coalition of each rewrite's segments.

        A coalition that keeps no character is worth 0, or with the query in front what the raw query is; one that keeps
        them all what :meth:`rewards` gives.

        Args:
            queries: int64 (B,).
            texts: B rewrites, capped.
            spans: Their segments, which tile them, B times int64 (N_b, 2); segments without characters are null
                players.
            coalitions: B times bool (C_b, N_b).

        Returns:
            B times float64 (C_b,).

        Raises:
            RetrieverError: The retriever failed.
        """


def split_values(values: NDArray[np.float64], sizes: Sequence[int]) -> list[NDArray[np.float64]]:
    """Split values (sum of sizes,) into consecutive parts of these sizes."""
    return [values[start:end] for start, end in pairwise([0, *accumulate(sizes)])]
