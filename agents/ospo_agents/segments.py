"""Segments of a text: the players of the game, as character spans that tile it.

A word is a run of letters and digits; a Chinese or Japanese character is a word of its own. ``t-shirt``, ``don't``
and ``3.5`` are one word each, and a boundary never lies inside a word. Where two segments meet, white space belongs
to the second, as it does in a language model's tokens; other characters between two words belong to the first up to
the first white space. Text before the first word belongs to the first segment.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from ospo_agents.errors import AgentError, unknown
from ospo_agents.protocols import Spans

__all__ = [
    "SEGMENTERS",
    "STOP_WORDS",
    "Segmenter",
    "decision_points",
    "make_segmenter",
    "make_union_segmenter",
    "phrase_key",
    "phrases",
    "phrases_in_turns",
    "sentences",
    "turns",
    "unions",
    "words",
]

Segmenter: TypeAlias = Callable[[str], Spans]
"""A text to its segments: character spans that tile it, in order."""

STOP_WORDS = frozenset(
    "a an and are as at be but by for from has have in into is it its no not of off on or over per plus so than that "
    "the their these this those to under up via was were which while who whose with within without your".split()
)
"""English words that open a new phrase."""

_CJK = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
_VOICING = "\uff9e\uff9f"  # half-width marks that belong to the kana before them
_ATOM = re.compile(rf"(?!\W)[{_CJK}][{_VOICING}]*|[^\W{_CJK}]+")
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
_CJK_STOPS = "\u3002\uff01\uff1f\uff61"
_CLOSING = "'\"\u2019\u201d\u00bb)\\]"
_LINE_BREAKS = "\n\r\u2028\u2029"
_SENTENCE_END = re.compile(rf"[{_CJK_STOPS}]|[.!?\u2026][{_CLOSING}]*\s|[{_LINE_BREAKS}]")
_JOINERS = frozenset("'\u2019-\u2010\u2011&")  # apostrophes, hyphens: between two letters they make one word of both
_MARKS = frozenset(("Mn", "Mc", "Me", "Cf"))  # categories of characters inside words, such as vowel signs
_SOFT = frozenset("%&#@*'\u2019")  # punctuation that separates no phrases
_ABBREVIATIONS = frozenset(("approx", "dr", "incl", "mr", "mrs", "ms", "st", "vs"))


class _Word(NamedTuple):
    """A word's first character, the character after its last, and how many runs of letters and digits it joins."""

    start: int
    end: int
    runs: int


def phrases(text: str, max_words: int = 3) -> list[tuple[int, int]]:
    """Short phrases: cut at punctuation and line breaks, before stop words, and after ``max_words`` words.

    Joined words count each part, so that no punctuation makes a phrase longer than the bound. Stop words in a row
    open one phrase, not several.

    Args:
        text: Any Unicode text.
        max_words: Upper bound on the words of a phrase, at least 1.

    Returns:
        Character spans that tile the text in order; one for a text without a word, none for the empty text.

    Raises:
        AgentError: ``max_words`` is below 1.

    >>> [text[a:b] for text in ["red shoes, for the beach"] for a, b in phrases(text)]
    ['red shoes,', ' for the beach']
    """
    if max_words < 1:
        raise AgentError(f"expected max_words of at least 1, but got {max_words}")
    text_words = _words(text, max_words)
    cuts = []
    runs, opened = 0, False  # runs in this phrase; whether it holds a word that is not a stop word
    for index, word in enumerate(text_words):
        stop = text[word.start : word.end].casefold() in STOP_WORDS
        if index:
            gap = text[text_words[index - 1].end : word.start]
            if (stop and opened) or runs + word.runs > max_words or _separates(gap):
                cuts.append(_boundary(text_words[index - 1].end, gap))
                runs, opened = 0, False
        runs += word.runs
        opened = opened or not stop
    return _tiles(text, cuts)


def words(text: str) -> list[tuple[int, int]]:
    """Single words, each with what follows it: phrases of at most one word.

    Args:
        text: Any Unicode text.

    Returns:
        Character spans that tile the text in order; none for the empty text.

    >>> [text[a:b] for text in ["red shoes, for"] for a, b in words(text)]
    ['red', ' shoes,', ' for']
    """
    return phrases(text, max_words=1)


def sentences(text: str) -> list[tuple[int, int]]:
    """Sentences: cut after final punctuation before white space, after CJK full stops, and at line breaks.

    A few English abbreviations (``Dr. Martens``) and dotted ones (``U.S. size``) do not end a sentence.

    Args:
        text: Any Unicode text.

    Returns:
        Character spans that tile the text in order; none for the empty text. Each phrase lies in one sentence.

    >>> [text[a:b] for text in ["Light. Warm, too!  For rain"] for a, b in sentences(text)]
    ['Light.', ' Warm, too!', '  For rain']
    """
    cuts = []
    for before, after in pairwise(_words(text, len(text))):
        gap = text[before.end : after.start]
        if _SENTENCE_END.search(gap) and not _abbreviated(text, before, gap):
            cuts.append(_boundary(before.end, gap))
    return _tiles(text, cuts)


def turns(text: str) -> list[tuple[int, int]]:
    r"""Turns of an episode: its lines, each with the line break that ends it.

    Args:
        text: The text of an episode, a line for each turn (:class:`ospo_agents.protocols.TurnTask`).

    Returns:
        Character spans that tile the text in order; none for the empty text. A blank line is a turn too.

    >>> turns("red shoes\n\ncrimson")
    [(0, 10), (10, 11), (11, 18)]
    """
    breaks = [index + 1 for index, character in enumerate(text[:-1]) if character == "\n"]
    return _tiles(text, breaks)


def phrases_in_turns(text: str) -> list[tuple[int, int]]:
    r"""Phrases of each turn of an episode; a turn's line break belongs to its last phrase.

    Args:
        text: The text of an episode.

    Returns:
        Character spans that tile the text in order; at least one a turn, none for the empty text.

    >>> [text[a:b] for text in ["red shoes, for rain\nboots"] for a, b in phrases_in_turns(text)]
    ['red shoes,', ' for rain\n', 'boots']
    """
    return [(first + start, first + end) for first, last in turns(text) for start, end in phrases(text[first:last])]


SEGMENTERS: Mapping[str, Callable[[str], list[tuple[int, int]]]] = MappingProxyType(
    {
        "words": words,
        "phrases": phrases,
        "sentences": sentences,
        "words-in-phrases": words,
        "phrases-in-turns": phrases_in_turns,
    }
)
"""Ways to cut a text, by name, at their defaults. Segments form unions by sentence; with ``words-in-phrases`` they are
words and form unions by phrase, since a rewrite is seldom more than one sentence; with ``phrases-in-turns`` they form
unions by turn of an episode."""

_UNIONS: Mapping[str, Callable[[str], list[tuple[int, int]]]] = MappingProxyType(
    {"words-in-phrases": phrases, "phrases-in-turns": turns}
)


def make_segmenter(name: str) -> Segmenter:
    """A segmenter by name.

    Raises:
        AgentError: The name is not in :data:`SEGMENTERS`.
    """
    if name not in SEGMENTERS:
        raise unknown("segmenter", name, SEGMENTERS)
    return SEGMENTERS[name]


def make_union_segmenter(name: str) -> Segmenter:
    """A function from a text to the spans of the unions that a segmenter's segments form.

    Raises:
        AgentError: The name is not in :data:`SEGMENTERS`.

    >>> make_union_segmenter("words-in-phrases")("red wool coat, warm")
    [(0, 14), (14, 19)]
    """
    make_segmenter(name)
    return _UNIONS.get(name, sentences)


def unions(fine: Spans, coarse: Spans) -> list[list[int]]:
    """The coalition structure of finer segments in coarser ones, for example of phrases in sentences.

    Args:
        fine: Spans that tile a text, length N.
        coarse: Spans that tile the same text.

    Returns:
        A partition of ``range(N)`` in order: for each coarser segment the finer ones that start in it, without the
        empty ones.

    Raises:
        AgentError: One of the two does not tile the text that the other does.

    >>> unions([(0, 3), (3, 7), (7, 9)], [(0, 7), (7, 9)])
    [[0, 1], [2]]
    """
    for name, spans in (("fine", fine), ("coarse", coarse)):
        if any(end != start for (_, end), (start, _) in pairwise(spans)) or (spans and spans[0][0] != 0):
            raise AgentError(f"expected {name} spans that tile a text from 0, but got {list(spans)}")
    if (fine[-1][1] if fine else 0) != (coarse[-1][1] if coarse else 0):
        raise AgentError("expected fine and coarse spans of one text, but they end at different characters")
    starts = [start for start, _ in coarse]
    blocks: list[list[int]] = [[] for _ in coarse]
    for player, (start, _) in enumerate(fine):
        blocks[bisect_right(starts, start) - 1].append(player)
    return [block for block in blocks if block]


def phrase_key(text: str) -> str:
    """Key of a segment's text, equal for segments of the same words in the same order, whatever stands between them.

    >>> phrase_key(" Red, SHOES")
    'red shoes'
    """
    return " ".join(text[word.start : word.end].casefold() for word in _words(text, len(text)))


def decision_points(text: str, spans: Spans) -> list[int]:
    """Number of characters of a text that must be read before the end of each of its segments is certain.

    A word may still grow (``for`` into ``formal``), so that it opens a new phrase for certain only when the next word
    has begun. Credit that serves as a potential (:func:`ospo_agents.advantages.potential`) must not use the end of a
    segment earlier than that.

    Args:
        text: The text that the spans tile.
        spans: Segments of the text, from a segmenter of this module; length N.

    Returns:
        For each segment a number of characters p: whatever follows ``text[:p]``, the segmenter cuts the same
        segments up to this one. ``len(text) + 1`` where even the whole text does not decide it, as for the last.

    >>> decision_points("red shoes, for the beach", [(0, 10), (10, 24)])
    [16, 25]
    """
    starts = [word.start for word in _words(text, len(text))]
    following = [bisect_left(starts, end) + 1 for _, end in spans]
    return [starts[index] + 1 if index < len(starts) else len(text) + 1 for index in following]


def _words(text: str, max_runs: int) -> list[_Word]:
    """Words in order; at most ``max_runs`` runs of letters and digits are joined in one."""
    text_words: list[_Word] = []
    for match in _ATOM.finditer(text):
        start, end = match.span()
        if text_words and start > text_words[-1].end:
            last = text_words[-1]
            gap = text[last.end : start]
            marks = gap != " " and all(unicodedata.category(character) in _MARKS for character in gap)
            numeric = gap in (".", ",") and text[last.end - 1].isdigit() and text[start].isdigit()
            joined = (gap in _JOINERS or numeric) and last.runs < max_runs
            if (marks or joined) and (
                text[start] in _VOICING or not (_is_cjk(text[last.end - 1]) or _is_cjk(text[start]))
            ):
                text_words[-1] = _Word(last.start, end, last.runs + (0 if marks else 1))
                continue
        text_words.append(_Word(start, end, 1))
    return text_words


def _is_cjk(character: str) -> bool:
    return _CJK_CHARACTER.match(character) is not None


def _separates(gap: str) -> bool:
    """Whether the characters between two words separate two phrases: punctuation, a bar, or a line break."""
    return any(
        character in "|\n\r\u2028\u2029" or (character not in _SOFT and unicodedata.category(character).startswith("P"))
        for character in gap
    )


def _abbreviated(text: str, word: _Word, gap: str) -> bool:
    """Whether the full stop after a word belongs to an abbreviation."""
    if gap.rstrip() != "." or any(character in _LINE_BREAKS for character in gap):
        return False
    dotted = word.end - word.start == 1 and text[word.start - 1 : word.start] == "."
    return dotted or text[word.start : word.end].casefold() in _ABBREVIATIONS


def _boundary(start: int, gap: str) -> int:
    """The character at which two segments meet, from the end of a word and the characters up to the next."""
    space = re.search(r"\s", gap)
    return start + (space.start() if space else len(gap))


def _tiles(text: str, cuts: list[int]) -> list[tuple[int, int]]:
    return list(pairwise([0, *cuts, len(text)])) if text else []
