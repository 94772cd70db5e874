"""Phrases of many rewrites: the verdict on the rewrites, the table of phrases, and what the stop-list is worth."""

import dataclasses
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ospo_agents.segments import phrase_key
from ospo_cli._credited_rewrites import CreditedRewrite, query_gains
from ospo_env import RetrievalTask
from ospo_env.evaluation.intervals import Interval, mean_interval
from ospo_env.evaluation.phrase_table import PhraseRow, phrase_table
from ospo_env.evaluation.verdict import EQUAL, RESAMPLES, Verdict, make_verdict

__all__ = ["PhraseStudy", "Pruned", "study_phrases", "without_stop_lists"]


@dataclass(frozen=True)
class Pruned:
    """The same rewrites without stop phrases, each with the list of the other half of the queries.

    Attributes:
        verdict: Remainders of the rewrites, against the raw query.
        change: Mean gain that leaving the phrases out brings, with its 95 % interval over queries.
        rewrites: Number of rewrites that lost a phrase.
    """

    verdict: Verdict
    change: Interval
    rewrites: int

    def as_json(self) -> dict[str, Any]:
        """The fields, JSON-able."""
        return {"verdict": self.verdict.as_json(), "change": self.change.as_json(), "rewrites": self.rewrites}


@dataclass(frozen=True)
class PhraseStudy:
    """Phrases of rewrites over many queries.

    Attributes:
        rewrites: The rewrites, in the order of their queries.
        raw: Mean worth of the raw queries.
        verdict: Rewrites against the raw query, a query with several rewrites by their mean gain; None where worths are
            of rankings that the rewrites themselves made.
        table: Phrases that stand in enough queries.
        phrases: Number of all different phrases.
        pruned: Effect of leaving stop phrases out; None without a verdict, or where nothing is left out.
    """

    rewrites: tuple[CreditedRewrite, ...]
    raw: float
    verdict: Verdict | None
    table: tuple[PhraseRow, ...]
    phrases: int
    pruned: Pruned | None

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len({row.prompt_id for row in self.rewrites})

    def listed(self, verdict: str) -> list[str]:
        """Phrases on the list ``keep`` or ``stop``, those of the largest effect over all queries first."""
        rows = [row for row in self.table if row.verdict == verdict]
        return [row.phrase for row in sorted(rows, key=lambda row: -abs(row.total))]

    @property
    def losing(self) -> list[CreditedRewrite]:
        """Rewrites that lose, the largest loss first."""
        return sorted((row for row in self.rewrites if row.gain < -EQUAL), key=lambda row: row.gain)


def study_phrases(
    task: RetrievalTask,
    rewrites: tuple[CreditedRewrite, ...],
    *,
    fewest: int,
    sort: str = "total",
    judged: bool = True,
) -> PhraseStudy:
    """Sum up phrases and gains over queries.

    Args:
        task: Task that valued the rewrites.
        rewrites: At least one rewrite.
        fewest: Least number of queries of a phrase in the table.
        sort: Order of the table, a name in :data:`ospo_env.evaluation.phrase_table.SORTS`.
        judged: Whether worths are of judgements, so that there is a verdict, and phrases to keep or to stop.

    Raises:
        RetrieverError: The retriever failed.
    """
    table = _table(rewrites, fewest, sort)
    raw_of = {row.prompt_id: row.raw for row in rewrites}
    return PhraseStudy(
        rewrites,
        float(np.mean(list(raw_of.values()))),
        make_verdict(query_gains(rewrites)) if judged else None,
        table if judged else tuple(dataclasses.replace(row, verdict="") for row in table),
        len({phrase_key(text) for row in rewrites for text, _ in row.phrases} - {""}),
        without_stop_lists(task, rewrites, fewest) if judged else None,
    )


def without_stop_lists(task: RetrievalTask, rewrites: Sequence[CreditedRewrite], fewest: int) -> Pruned | None:
    """Measure the rewrites without the phrases of a stop-list, which other queries than their own have made.

    Queries are split in two halves by their ids. The phrases that hurt in one half are left out in the other; what is
    left is sent, or the raw query if nothing is. So no query decides on its own phrases.

    Args:
        task: Task that valued the rewrites.
        rewrites: The rewrites.
        fewest: Least number of queries of a phrase, in a half.

    Returns:
        The measurement; None if no phrase is left out.

    Raises:
        RetrieverError: The retriever failed.
    """
    halves = [zlib.crc32(row.prompt_id.encode(errors="surrogatepass")) % 2 for row in rewrites]
    stops = []
    for half in range(2):
        other = [row for row, own in zip(rewrites, halves, strict=True) if own != half]
        stops.append({row.phrase for row in _table(other, fewest) if row.verdict == "stop"} if other else set())
    texts = [_pruned(row, stops[half]) for row, half in zip(rewrites, halves, strict=True)]
    changed = [place for place, text in enumerate(texts) if text is not None]
    if not changed:
        return None
    ids = [rewrites[place].prompt_id for place in changed]
    raw = task.raw_rewrites(ids)
    sent = [texts[place] or text for place, text in zip(changed, raw, strict=True)]
    worths = [row.credited.worth for row in rewrites]
    for place, worth in zip(changed, task.rewards(ids, sent).tolist(), strict=True):
        worths[place] = worth
    gains = query_gains(rewrites, worths)
    return Pruned(make_verdict(gains), mean_interval(gains - query_gains(rewrites), RESAMPLES), len(changed))


def _table(rewrites: Sequence[CreditedRewrite], fewest: int, sort: str = "total") -> tuple[PhraseRow, ...]:
    named = [(phrase_key(text), row.prompt_id, credit) for row in rewrites for text, credit in row.phrases]
    return phrase_table(
        [phrase for phrase, _, _ in named],
        [prompt_id for _, prompt_id, _ in named],
        np.array([credit for _, _, credit in named], dtype=np.float64),
        fewest,
        sort,
    )


def _pruned(row: CreditedRewrite, stop: Collection[str]) -> str | None:
    """The rewrite without some phrases; None if it has none of them."""
    kept = [text for text, _ in row.phrases if phrase_key(text) not in stop]
    return None if len(kept) == len(row.phrases) else " ".join(kept)
