"""Lines of TREC files of rankings and judgements, as trec_eval, ir-measures, ranx and others read. Pure functions.

Judgements in these files are whole numbers, so gains are multiplied by one. That leaves nDCG unchanged; RR, R and AP
count documents from the level of full gain on (``rel=`` in ir-measures, ``-l`` in trec_eval). Scores are made from
ranks, since tools break ties differently.
"""

from collections.abc import Iterable, Sequence

from ospo_env.errors import TaskError
from ospo_env.metrics import FULL_GAIN

__all__ = ["check_ids", "full_level", "gain_scale", "qrels_lines", "run_lines"]

_SCALES: tuple[int, ...] = (
    *(10**power for power in range(7)),
    *range(2, 1001),
)  # tenths and the like, else thirds and the like


def check_ids(ids: Iterable[str]) -> None:
    """Check, before long work starts, that TREC files can hold the ids.

    Raises:
        TaskError: An id is empty or contains white space.
    """
    for name in ids:
        _id(name)


def gain_scale(gains: Iterable[float]) -> int:
    """Smallest power of ten up to a million that makes all gains whole, or else the smallest such number up to 1,000.

    Raises:
        TaskError: There is no such number.

    >>> gain_scale([1.0, 0.1, 0.01]), gain_scale([1 / 3, 2 / 3])
    (100, 3)
    """
    distinct = set(gains)
    for scale in _SCALES:
        if all(abs(gain * scale - round(gain * scale)) <= 1e-9 * scale for gain in distinct):
            return scale
    raise TaskError(
        "expected gains of six decimals at most, or fractions of one whole number up to 1,000, as TREC files need; "
        f"got {sorted(distinct)[:5]}"
    )


def full_level(scale: int) -> int:
    """Level from which a document counts as relevant in files of a scale."""
    return round(FULL_GAIN * scale)


def qrels_lines(judgements: Iterable[tuple[str, str, float]], scale: int) -> list[str]:
    """Lines ``query 0 document level`` of a file of judgements.

    Args:
        judgements: Query id, document id and gain of each.
        scale: Result of :func:`gain_scale`.

    Raises:
        TaskError: An id contains white space.

    >>> qrels_lines([("q1", "d7", 0.1)], 100)
    ['q1 0 d7 10']
    """
    return [f"{_id(query)} 0 {_id(document)} {round(gain * scale)}" for query, document, gain in judgements]


def run_lines(query_ids: Sequence[str], rankings: Sequence[Sequence[str]], tag: str) -> list[str]:
    """Lines ``query Q0 document rank score tag`` of a run, best first.

    Args:
        query_ids: Ids of B queries.
        rankings: Document ids of each query, best first.
        tag: Name of the run; white space becomes ``_``.

    Raises:
        TaskError: An id contains white space.

    >>> run_lines(["q1"], [["d7", "d2"]], "bm25")
    ['q1 Q0 d7 1 2 bm25', 'q1 Q0 d2 2 1 bm25']
    """
    tag = "_".join(tag.split()) or "run"
    return [
        f"{_id(query)} Q0 {_id(document)} {rank} {len(ranked) + 1 - rank} {tag}"
        for query, ranked in zip(query_ids, rankings, strict=True)
        for rank, document in enumerate(ranked, start=1)
    ]


def _id(name: str) -> str:
    if name.split() != [name]:
        raise TaskError(f"expected ids without white space, which TREC files need; got {name!r}")
    return name
