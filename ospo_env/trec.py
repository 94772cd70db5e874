"""Rankings and judgements in the files of TREC, which trec_eval, ir-measures, ranx and others read. Pure functions.

Judgements there are whole numbers, so gains are written times a power of ten; nDCG does not change by that, and RR, R
and AP count documents from the level of full gain on (``rel=`` in ir-measures, ``-l`` in trec_eval). Scores are made
of ranks, since tools break ties in ways of their own.
"""

from collections.abc import Iterable, Sequence

from ospo_env.errors import TaskError
from ospo_env.metrics import FULL_GAIN

__all__ = ["full_level", "gain_scale", "qrels_lines", "run_lines"]

_LARGEST_SCALE = 10**6


def gain_scale(gains: Iterable[float]) -> int:
    """The least power of ten that makes all gains whole numbers.

    Raises:
        TaskError: None up to a million does.

    >>> gain_scale([1.0, 0.1, 0.01])
    100
    """
    distinct = set(gains)
    scale = 1
    while any(abs(gain * scale - round(gain * scale)) > 1e-9 * scale for gain in distinct):
        scale *= 10
        if scale > _LARGEST_SCALE:
            raise TaskError(f"expected gains of six decimals at most, as TREC files need; got {sorted(distinct)[:5]}")
    return scale


def full_level(scale: int) -> int:
    """The level from which a document counts as relevant in files of that scale."""
    return round(FULL_GAIN * scale)


def qrels_lines(judgements: Iterable[tuple[str, str, float]], scale: int) -> list[str]:
    """Lines ``query 0 document level``.

    Args:
        judgements: Query id, document id and gain.
        scale: As :func:`gain_scale` gives it.

    Raises:
        TaskError: An id holds white space.

    >>> qrels_lines([("q1", "d7", 0.1)], 100)
    ['q1 0 d7 10']
    """
    return [f"{_id(query)} 0 {_id(document)} {round(gain * scale)}" for query, document, gain in judgements]


def run_lines(query_ids: Sequence[str], rankings: Sequence[Sequence[str]], tag: str) -> list[str]:
    """Lines ``query Q0 document rank score tag``, best first.

    Args:
        query_ids: B ids.
        rankings: For each the document ids, best first.
        tag: Name of the run; white space becomes ``_``.

    Raises:
        TaskError: An id holds white space.

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
    if not name or any(character.isspace() for character in name):
        raise TaskError(f"expected ids without white space, which TREC files need; got {name!r}")
    return name
