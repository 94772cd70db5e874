"""Invented words of Zipf frequencies, and columns of texts made of them."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["SYLLABLES", "Lexicon", "hex_ids"]

SYLLABLES = {
    "us": [a + b for a in "bcdfghklmnprstvz" for b in ("a", "e", "i", "o", "u", "en", "or")],
    "es": [a + b for a in "bcdfglmnñprstv" for b in ("a", "e", "i", "o", "á", "ó", "es", "ar")],
    "jp": [chr(point) for point in range(0x30A2, 0x30F3) if chr(point) not in "ッャュョァィゥェォヮ"],
}
"""Syllables of the words, by locale."""

_SENTENCES = 200_000
_TABLE = 2**22  # draws from a table of this many entries; rarer words than one in so many do not come
_SHIFT, _EXPONENT = 2.7, 1.1  # of the law of Zipf and Mandelbrot: the word of rank r has (r + shift) ^ -exponent


class Lexicon:
    """Words, and sentences of them, in Zipf frequencies.

    Args:
        syllables: Syllables that words are made of.
        size: Number of words.
        rng: Source of randomness.
    """

    def __init__(self, syllables: Sequence[str], size: int, rng: np.random.Generator) -> None:
        self.words = pl.Series([_spelt(rank, syllables) for rank in range(size)])
        share = (np.arange(size) + _SHIFT) ** -_EXPONENT
        bounds = np.cumsum(share / share.sum())
        self._table = np.searchsorted(bounds[:-1], (np.arange(_TABLE) + rng.random(_TABLE)) / _TABLE).astype(np.int32)
        lengths = rng.integers(5, 18, min(_SENTENCES, size))
        self._sentence_words = lengths.mean()
        self._sentences = self.texts(lengths, rng).str.to_titlecase() + "."

    def texts(self, lengths: NDArray[np.int64], rng: np.random.Generator) -> pl.Series:
        """Texts with these numbers of words, each at least 1: str (R,)."""
        rows = self._table[rng.integers(0, _TABLE, int(lengths.sum()))]
        return _joined(self.words.gather(rows), lengths)

    def paragraphs(self, mean: float, spread: float, n: int, rng: np.random.Generator) -> pl.Series:
        """Texts of whole sentences, of log-normal length in words with that mean and spread of the logarithm."""
        counts = np.rint(_log_normal(mean, spread, n, rng) / self._sentence_words).astype(np.int64).clip(1, 40)
        return _joined(self._sentences.gather(rng.integers(0, len(self._sentences), int(counts.sum()))), counts)

    def titles(self, mean: float, spread: float, n: int, rng: np.random.Generator) -> pl.Series:
        """Texts of 2 to 48 single words, of log-normal length with that mean and spread of the logarithm."""
        lengths = np.rint(_log_normal(mean, spread, n, rng)).astype(np.int64).clip(2, 48)
        return self.texts(lengths, rng).str.to_titlecase()


def hex_ids(n: int, digits: int, rng: np.random.Generator) -> pl.Series:
    """Random hexadecimal numbers with this even number of digits: str (n,)."""
    text = rng.bytes(n * digits // 2).hex()
    return pl.Series([text[start : start + digits] for start in range(0, len(text), digits)], dtype=pl.String)


def _log_normal(mean: float, spread: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.lognormal(np.log(mean) - spread**2 / 2, spread, n)


def _joined(parts: pl.Series, counts: NDArray[np.int64]) -> pl.Series:
    """Consecutive parts joined with spaces, a given number for each text."""
    table = pl.DataFrame({"text": np.repeat(np.arange(len(counts)), counts), "part": parts})
    return table.group_by("text", maintain_order=True).agg(pl.col("part").str.join(" "))["part"]


def _spelt(rank: int, syllables: Sequence[str]) -> str:
    """A word of its own for each rank, longer for higher ranks (bijective numeration)."""
    word, number = "", rank + len(syllables)  # two syllables at least
    while number >= 0:
        number, digit = divmod(number, len(syllables))
        word += syllables[digit]
        number -= 1
    return word
