"""Queries and graded judgements from the events of a search log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl

from envs_data.custom.propensity import Propensity, estimate_propensity, position_weights
from envs_data.errors import DataError

__all__ = ["LogSettings", "judge", "weigh"]

SPLIT_BY = ("query", "time")


@dataclass(frozen=True)
class LogSettings:
    """Settings of a log.

    Attributes:
        levels: Level of each action.
        minimum_support: Least number of actions of a pair of query and document; weighted ones with propensities.
        propensity: ``None`` for no weights, ``"estimate"``, or the propensities of the first positions.
        split: ``"query"``, queries are drawn at random, or ``"time"``, later queries are validation and test ones.
    """

    levels: Mapping[str, float]
    minimum_support: float
    propensity: str | Sequence[float] | None
    split: str

    def check(self) -> None:
        """Raise ``DataError`` for a setting out of range."""
        if self.split not in SPLIT_BY:
            raise DataError(f"split (--split) must be one of {', '.join(SPLIT_BY)}; got {self.split!r}")
        if not self.minimum_support > 0:
            raise DataError(f"minimum support (--minimum-support) must be above 0; got {self.minimum_support!r}")
        for name, level in self.levels.items():
            if not 0 <= level < float("inf"):
                raise DataError(f"levels (--levels) must be numbers of at least 0; got {level!r} for {name}")
        if isinstance(self.propensity, str) and self.propensity != "estimate":
            raise DataError(f"propensity (--propensity) must be estimate or numbers; got {self.propensity!r}")
        if self.propensity is not None and not isinstance(self.propensity, str):
            if not self.propensity or not all(0 < value <= 1 for value in self.propensity):
                raise DataError(
                    "propensity (--propensity) must be numbers above 0 and at most 1, the first position's first; got "
                    f"{list(self.propensity)!r}"
                )


def weigh(events: pl.DataFrame, propensity: str | Sequence[float] | None) -> tuple[pl.DataFrame, Propensity | None]:
    """Events with the ``weight`` of each, its count divided by the propensity of its position.

    Args:
        events: As :class:`~envs_data.custom.log.SearchLog` has them.
        propensity: As in :class:`LogSettings`.

    Returns:
        The events, and the estimate if one was made.

    Raises:
        DataError: An estimate is asked for, and the events do not tell one.
    """
    if propensity is None:
        return events.with_columns(weight="count"), None
    estimate = None
    values: Sequence[float] = () if isinstance(propensity, str) else propensity
    if isinstance(propensity, str):
        acted = pl.when(pl.col("level") > 0).then("count").otherwise(0.0)
        shown = pl.when(pl.col("level") == 0).then("count").otherwise(0.0)
        if "level" not in events.columns:
            raise DataError("--propensity estimate: expected a column action with impressions among them, got none")
        totals = events.group_by("query", "doc_id", "position").agg(shown=shown.sum(), acted=acted.sum())
        estimate = estimate_propensity(totals)
        values = estimate.values.tolist()
    weights = position_weights(events["position"].to_numpy(), values)
    return events.with_columns(weight=pl.col("count") * pl.Series(weights)), estimate


def judge(
    events: pl.DataFrame, settings: LogSettings, shares: Mapping[str, float]
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Judgements of pairs of query and document that people acted on often enough.

    The gain of a pair is the level of its strongest action; in a log of counts without actions it is the pair's share
    of the largest sum of its query. Split by time, the queries that came first late are validation and test ones, and
    no judgement of an earlier query rests on an event after the first of a later split, so that nothing is learnt from
    the future.

    Args:
        events: Events with ``weight``.
        settings: Settings of the log.
        shares: Shares of validation and test queries, for a split by time.

    Returns:
        ``query``, ``doc_id``, ``gain`` and ``split``, null where splits are to be drawn; and facts for the manifest.

    Raises:
        DataError: No pair has enough support, or times do not tell queries apart.
    """
    pairs = _pairs(events, settings.minimum_support)
    facts: dict[str, Any] = {"pairs_without_support": _acted_pairs(events) - pairs.height}
    if pairs.is_empty():
        raise DataError(
            f"expected pairs of query and document with a support of {settings.minimum_support:g} or more; there are "
            "none: lower the minimum support (--minimum-support)"
        )
    if settings.split == "query":
        return pairs.with_columns(split=pl.lit(None, dtype=pl.String)), facts
    first = events.join(pairs, on="query", how="semi").group_by("query").agg(pl.col("time").min()).sort("time", "query")
    cuts = _cuts(first["time"], shares)
    split = pl.lit("train")
    for name, cut in cuts.items():
        split = pl.when(pl.col("time") >= cut).then(pl.lit(name)).otherwise(split)
    split_of = first.with_columns(split=split).drop("time")
    late = pl.lit(False)
    names = ["train", *cuts]
    for name, following in pairwise(names):
        late = late | ((pl.col("split") == name) & (pl.col("time") >= cuts[following]))
    placed = events.join(split_of, on="query")
    timely = placed.filter(~late)
    facts["log_rows_after_their_split"] = placed.height - timely.height
    judged = _pairs(timely, settings.minimum_support).join(split_of, on="query")
    return judged, {**facts, "splits_from": {name: _written(cut) for name, cut in cuts.items()}}


def _pairs(events: pl.DataFrame, minimum_support: float) -> pl.DataFrame:
    """``query``, ``doc_id`` and ``gain`` of the pairs with enough support, in order."""
    acted = _acted(events)
    gain = pl.col("level").max() if "level" in events.columns else pl.col("weight").sum()
    pairs = acted.group_by("query", "doc_id").agg(gain=gain, support=pl.col("weight").sum())
    pairs = pairs.filter(pl.col("support") >= minimum_support - 1e-9).sort("query", "doc_id")
    if "level" not in events.columns:
        pairs = pairs.with_columns(pl.col("gain") / pl.col("gain").max().over("query"))
    return pairs.select("query", "doc_id", "gain")


def _acted(events: pl.DataFrame) -> pl.DataFrame:
    return events.filter((pl.col("level") > 0) & (pl.col("count") > 0)) if "level" in events.columns else events


def _acted_pairs(events: pl.DataFrame) -> int:
    return _acted(events).select("query", "doc_id").n_unique()


def _cuts(first: pl.Series, shares: Mapping[str, float]) -> dict[str, Any]:
    """Time from which a query that comes first is of each split, earliest first: so that each gets its share."""
    size, cuts, rest = len(first), {}, 1.0
    for name, share in reversed([(name, share) for name, share in shares.items() if share]):
        rest -= share
        cuts[name] = first[min(max(round(rest * size), 0), size - 1)]
    ordered = dict(reversed(cuts.items()))
    times = list(ordered.values())
    if any(later <= earlier for earlier, later in pairwise([first[0], *times])):
        raise DataError(
            "split by time: expected queries that were first typed at different times, so that each split gets some; "
            "split by query (--split query), or change the shares"
        )
    return ordered


def _written(time: Any) -> str | float:
    return float(time) if isinstance(time, float) else time.isoformat()
