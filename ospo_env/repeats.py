"""Repeated words of a text: where they stand, and the text without them.

Two words are the same if they have the same tokens, so that case and Unicode form make no difference. What follows a
word up to the next white space or word, such as a comma, belongs to it and is dropped with it.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from ospo_env.text import token_spans, tokens

__all__ = ["WordPiece", "distinct_words", "new_words", "without_repeats", "without_words", "word_pieces"]

_SPACE = re.compile(r"\s")


class WordPiece(NamedTuple):
    """A word of a text, with what follows it.

    Attributes:
        word: The word as it is compared: its tokens.
        start: Its first character.
        stop: The character after its last.
        end: The character after what belongs to it.
    """

    word: str
    start: int
    stop: int
    end: int


def word_pieces(text: str) -> list[WordPiece]:
    """The words of a text, in order.

    >>> word_pieces("Red, coat")
    [WordPiece(word='red', start=0, stop=3, end=4), WordPiece(word='coat', start=5, stop=9, end=9)]
    """
    spans = token_spans(text)
    edges = [*(start for start, _ in spans), len(text)]
    pieces = []
    for (start, stop), limit in zip(spans, edges[1:], strict=True):
        space = _SPACE.search(text, stop, limit)
        word = text[start:stop]
        pieces.append(WordPiece(" ".join(tokens(word)) or word, start, stop, space.start() if space else limit))
    return pieces


def distinct_words(text: str) -> frozenset[str]:
    """The words of a text as they are compared."""
    return frozenset(piece.word for piece in word_pieces(text))


def new_words(text: str, known: Collection[str] = ()) -> list[WordPiece]:
    """First copies of a text's words that are not known yet, in order."""
    first: dict[str, WordPiece] = {}
    for piece in word_pieces(text):
        if piece.word not in known:
            first.setdefault(piece.word, piece)
    return list(first.values())


def without_repeats(text: str, known: Collection[str] = ()) -> str:
    """The text without later copies of its words, and without all copies of known words.

    Args:
        text: Any text.
        known: Words as they are compared.

    Returns:
        The text itself where nothing is dropped; else what is left, joined by single spaces where words were dropped.

    >>> without_repeats("Red shoe, red coat, shoe-lace")
    'Red shoe, coat, lace'
    >>> without_repeats("camera, camera", {"camera"})
    ''
    """
    seen = set(known)
    copies = []
    for piece in word_pieces(text):
        if piece.word in seen:
            copies.append(piece)
        seen.add(piece.word)
    return without_words(text, copies)


def without_words(text: str, pieces: Collection[WordPiece]) -> str:
    """The text without some of its words: the text itself without any, else as :func:`without_repeats`.

    Args:
        text: Any text.
        pieces: Words to drop, in order.
    """
    if not pieces:
        return text
    starts = [0, *(piece.end for piece in pieces)]
    ends = [*(piece.start for piece in pieces), len(text)]
    kept = (text[start:end].strip() for start, end in zip(starts, ends, strict=True))
    return " ".join(part for part in kept if part)
