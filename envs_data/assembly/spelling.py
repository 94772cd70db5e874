"""Spelling: words that no document holds, corrected to words that documents hold."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["correction", "known_letters"]

_SHORTEST = 4  # letters of a word that is corrected: shorter ones have too many neighbours
_LEAST = 2  # documents that hold a word, before it corrects another: one may be a slip itself


def known_letters(words: Iterable[str]) -> list[str]:
    """Letters of the words that may be corrections, sorted."""
    return sorted({letter for word in words if len(word) >= _SHORTEST - 1 for letter in word})


def correction(word: str, frequency: Mapping[str, int], letters: Sequence[str]) -> str | None:
    """The most frequent neighbour of a word that no document holds; None for a known word and one without a neighbour.

    Args:
        word: A token.
        frequency: Number of documents that hold each word of the corpus.
        letters: Letters that may be added.

    >>> correction("fauctes", {"faucet": 9, "faucets": 3, "facts": 1}, "abcdefst")
    'faucets'
    """
    if word in frequency or len(word) < _SHORTEST or not word.isalpha():
        return None
    candidates = {near for near in _neighbours(word, letters) if frequency.get(near, 0) >= _LEAST}
    return min(candidates, key=lambda near: (-frequency[near], near), default=None)


def _neighbours(word: str, letters: Sequence[str]) -> Iterator[str]:
    """Words at edit distance 1, some twice."""
    for place in range(len(word) + 1):
        before, after = word[:place], word[place:]
        if after:
            yield before + after[1:]
            yield from (before + letter + after[1:] for letter in letters)
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:]
        yield from (before + letter + after for letter in letters)
