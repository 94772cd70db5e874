"""Bounds on the texts of a rewrite that are sent to a retriever."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ospo_env.errors import TaskError

__all__ = ["Limit", "make_limits"]


class Limit(NamedTuple):
    """Bound on the texts of a rewrite that are sent to the retriever.

    Attributes:
        calls: Distinct texts at most, at least one more than there are players.
        seed: Seed of the choice.
    """

    calls: int
    seed: int


def make_limits(
    prompt_ids: Sequence[str],
    texts: Sequence[str],
    players: Sequence[int],
    calls: int | Sequence[int],
    seeds: Sequence[int] | None,
) -> list[Limit]:
    """Bounds of B rewrites, checked.

    Args:
        prompt_ids: B ids.
        texts: B rewrites.
        players: Segments of each that count.
        calls: Distinct texts at most, one number for all or one each.
        seeds: Seed of each; ``None`` makes one of prompt id and text.

    Raises:
        TaskError: Lengths differ, a number is not whole, or there are fewer calls than players and one.
    """
    several = calls if isinstance(calls, Sequence | np.ndarray) else [calls] * len(texts)
    if seeds is None:
        seeds = [
            zlib.crc32(f"{prompt_id}\0{text}".encode(errors="surrogatepass"))
            for prompt_id, text in zip(prompt_ids, texts, strict=True)
        ]
    if not len(several) == len(seeds) == len(texts):
        raise TaskError(
            f"expected one number of calls and one seed a text; got {len(several)} numbers of calls and {len(seeds)} "
            f"seeds for {len(texts)} texts"
        )
    limits = []
    for b, (most, seed, count) in enumerate(zip(several, seeds, players, strict=True)):
        if not _is_whole(most) or most < 1:
            raise TaskError(f"expected the calls of text {b} as a whole number of at least 1; got {most!r}")
        if not _is_whole(seed) or seed < 0:
            raise TaskError(f"expected the seed of text {b} as a whole number of at least 0; got {seed!r}")
        if most <= count:
            raise TaskError(
                f"expected at least {count + 1} calls for the {count} segments of text {b} that count, one for each "
                f"and one for the whole text; got {most}"
            )
        limits.append(Limit(int(most), int(seed)))
    return limits


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
