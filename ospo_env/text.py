"""The one lexical analyser, and what follows from it: words, the word cap, and cuts that no word crosses.

A *word* is a maximal run of letters, digits and underscores with their combining marks; a Han, kana or Hangul
character is a word of its own, since those scripts do not put spaces between words. (Thai, Lao and Khmer, which do
not either, stay in runs.) A *token* is what a word is indexed as: NFKC, case-folded, and cut again by the same rule,
so that ``½`` or a squared ligature yields the tokens of what it stands for. The tokens of a word depend on that word
alone, hence the tokens of a text are those of its pieces wherever the cuts lie between words.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence

__all__ = [
    "cap_rewrite",
    "cap_words",
    "clean_text",
    "cuts_between_words",
    "starts_with",
    "token_spans",
    "tokens",
]

_SINGLE = (  # ranges whose letters are words of their own
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9d\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
_MARKS = "".join(  # combining marks belong to their letter; variation selectors only choose a glyph
    chr(point)
    for point in range(0x300, 0x10000)
    if unicodedata.category(chr(point)) in ("Mn", "Mc") and not 0xFE00 <= point <= 0xFE0F
)
_LETTER = rf"[^\W{_SINGLE}]"
_WORD = re.compile(rf"{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*|(?!\W)[{_SINGLE}][{_MARKS}\uff9e\uff9f]*")
_LONG_MARKS = re.compile(rf"([{_MARKS}]{{30}})(?=[{_MARKS}])")
_JOINER = "\u034f"  # combining grapheme joiner, over which normalisation moves no mark
_ASCII_WORD = re.compile(r"[a-z0-9_]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def tokens(text: str) -> list[str]:
    """The tokens of a text, in order, repeated as often as they stand.

    >>> tokens("Rain-proof JACKET, ½ price")
    ['rain', 'proof', 'jacket', '1', '2', 'price']
    >>> tokens("赤い靴 Größe")
    ['赤', 'い', '靴', 'grösse']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    words: list[str] = []
    for word in _WORD.findall(text):
        if word.isascii():
            words.append(word.lower())
        else:
            words.extend(_WORD.findall(_normalized(word)))
    return words


def _normalized(word: str) -> str:
    """A word in NFKC and case-folded, in time linear in its length.

    Normalisation sorts the marks of a letter, which takes time quadratic in their number. Runs of marks are cut after
    every 30 by a combining grapheme joiner first, as in the Stream-Safe Text Process (Unicode Standard Annex #15);
    no word of any language has so many.
    """
    return unicodedata.normalize("NFKC", _LONG_MARKS.sub(rf"\1{_JOINER}", word)).casefold()


def token_spans(text: str) -> list[tuple[int, int]]:
    """Character spans ``[start, end)`` of the words of a text, as it stands, in order.

    >>> token_spans("red, 赤い")
    [(0, 3), (5, 6), (6, 7)]
    """
    return [match.span() for match in _WORD.finditer(text)]


def cap_words(text: str, max_words: int) -> tuple[str, int]:
    """A text up to the end of its ``max_words``-th word, and how many words lie beyond.

    Args:
        text: Any text.
        max_words: At least 1. A text of no more words comes back as it is.

    Returns:
        The text that counts, and the number of words that do not.

    >>> cap_words("red wool, blue silk!", 3)
    ('red wool, blue', 1)
    """
    spans = token_spans(text)
    if len(spans) <= max_words:
        return text, 0
    return text[: spans[max_words - 1][1]], len(spans) - max_words


def cap_rewrite(text: str, max_words: int, query: str) -> tuple[str, int]:
    """As :func:`cap_words`, but for the raw query: at the start of a rewrite it is never cut.

    So the raw query as a rewrite is scored whole, however long it is, and so is a long query with words behind it.

    Args:
        text: Any text.
        max_words: At least 1.
        query: The raw query.

    Returns:
        The text that counts, and the number of words that do not.

    >>> cap_rewrite("warm red wool, blue silk", 2, "warm red wool"), cap_rewrite("red wool, blue", 2, "warm red wool")
    (('warm red wool', 2), ('red wool', 1))
    """
    capped, beyond = cap_words(text, max_words)
    if not beyond:
        return text, 0
    words = len(token_spans(query))
    if words <= max_words or not starts_with(text, query):
        return capped, beyond
    return cap_words(text, words)


def starts_with(text: str, query: str) -> bool:
    """Whether the first words of a text are all words of a query, in order.

    >>> starts_with("warm  red, wool", "warm red"), starts_with("warm red", "warm red wool")
    (True, False)
    """
    words = _WORD.findall(query)
    return _WORD.findall(text)[: len(words)] == words


def clean_text(text: str) -> str:
    """The text with each lone surrogate replaced by U+FFFD, so that it can be encoded; the length stays.

    >>> clean_text("red " + chr(0xD83D))
    'red \ufffd'
    """
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def cuts_between_words(text: str, offsets: Sequence[int]) -> bool:
    """Whether no word of the text has one of the offsets inside it.

    Args:
        text: Any text.
        offsets: Character offsets in [0, len(text)], in any order.

    Returns:
        True if cutting there leaves every word whole.

    >>> cuts_between_words("red wool", [3, 4]), cuts_between_words("red wool", [5])
    (True, False)
    """
    spans = token_spans(text)
    ends = [end for _, end in spans]
    for offset in offsets:
        index = bisect_left(ends, offset)  # the first word that ends at or after the offset
        if index < len(spans) and spans[index][0] < offset < spans[index][1]:
            return False
    return True
