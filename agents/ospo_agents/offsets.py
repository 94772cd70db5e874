"""Characters of each token of a completion in its decoded text.

A tokenizer's own offsets belong to text that it encoded. Sampled tokens may be others than those it would choose for
the same text, so offsets are found by decoding.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["token_offsets"]

_BLOCK = 32  # units whose prefixes are decoded together
_CONTEXT = 8  # units decoded before a block, since decoders treat the first token of a text differently
_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def token_offsets(tokenizer: Any, ids: Sequence[int]) -> tuple[str, NDArray[np.int64]]:
    r"""Decoded text of a completion, and the characters in it that each token stands for.

    A token's characters are those that appear in the decoded text when the token is added. Tokens that hold only
    some bytes of a character all cover that character, and a token without characters of its own (a lone ``▁``
    that the decoder strips) covers the first character of the next token. Time is linear in T, if the text of a token
    depends on few tokens before it.

    Args:
        tokenizer: A transformers tokenizer: anything with ``decode(ids, skip_special_tokens=True)``,
            ``convert_ids_to_tokens``, ``all_special_ids`` and, where it has added special tokens,
            ``added_tokens_decoder``.
        ids: Token ids, length T.

    Returns:
        The text, equal to ``tokenizer.decode(ids, skip_special_tokens=True)``, and int64 (T, 2) half-open spans in
        it whose starts do not decrease. A special token has an empty span where it stands.
    """
    ids = [int(token) for token in ids]
    if not ids:
        return "", np.zeros((0, 2), dtype=np.int64)
    text = _decode(tokenizer, ids)
    special = _special_ids(tokenizer)
    byte_ids = _byte_ids(tokenizer, ids)
    stops = _unit_stops(ids, byte_ids, special)
    ends = None if byte_ids else _ends_of_pieces(tokenizer, ids, text)
    if ends is None:
        ends = np.minimum.accumulate(_prefix_lengths(tokenizer, ids, stops, text)[::-1])[::-1]
    offsets = np.zeros((len(ids), 2), dtype=np.int64)
    first, start = 0, 0
    for stop, end in zip(stops, [*ends[:-1].tolist(), len(text)], strict=True):
        offsets[first:stop] = start, end
        if stop - first > 1:
            offsets[first:stop] = _byte_offsets(text, start, end, [token in byte_ids for token in ids[first:stop]])
        first, start = stop, end
    position = len(text)  # start of the nearest later token with characters
    for token in range(len(ids) - 1, -1, -1):
        start, end = offsets[token].tolist()
        if end > start:
            position = start
        elif ids[token] not in special and position == start and start < len(text):
            offsets[token, 1] = start + 1
    for token in range(1, len(ids)):  # bytes of a character that was cut off: decoded together as one mark at the end
        start, end = offsets[token]
        if start == end == len(text) and text.endswith("\ufffd") and ids[token] not in special:
            offsets[token] = len(text) - 1, len(text)
    return text, offsets


def _unit_stops(ids: list[int], byte_ids: set[int], special: set[int]) -> list[int]:
    """Ends of the units of a completion: a run of byte tokens is one, any other token is one by itself.

    A run decodes as a whole: to its characters where they are whole, else to one mark a byte. Special tokens inside it
    do not part it.
    """
    stops: list[int] = []
    run: int | None = None  # the unit of a run that may go on
    for token, token_id in enumerate(ids):
        if token_id in byte_ids:
            run = len(stops) if run is None else run
            del stops[run:]
        elif token_id not in special:
            run = None
        stops.append(token + 1)
    return stops


def _ends_of_pieces(tokenizer: Any, ids: list[int], text: str) -> NDArray[np.int64] | None:
    """For each token, how many characters its piece and those before it have: int64 (T,).

    Returns:
        None unless the text is its tokens' pieces one after the other, each of whole characters.
    """
    if "\ufffd" in text:
        return None
    pieces = {token: _decode(tokenizer, [token]) for token in set(ids)}
    if "".join([pieces[token] for token in ids]) != text:
        return None
    return np.cumsum([len(pieces[token]) for token in ids], dtype=np.int64)


def _prefix_lengths(tokenizer: Any, ids: list[int], stops: list[int], text: str) -> NDArray[np.int64]:
    """For each unit, how many leading characters of the text the tokens up to its end decode to: int64 (U,)."""
    lengths = [0]
    whole = [0]  # numbers of leading units that decode to a beginning of the text
    for first in range(0, len(stops), _BLOCK):
        last = min(first + _BLOCK, len(stops))
        origin, skipped, done = _window(tokenizer, ids, [0, *stops], text, lengths, whole, last)
        for unit in range(first, last):
            decoded = _decode(tokenizer, ids[origin : stops[unit]])[skipped:]
            common = _common(decoded, text[done : done + len(decoded)])
            lengths.append(done + common)
            if common == len(decoded):
                whole.append(unit + 1)
    return np.array(lengths[1:], dtype=np.int64)


def _window(
    tokenizer: Any, ids: list[int], bounds: list[int], text: str, lengths: list[int], whole: list[int], last: int
) -> tuple[int, int, int]:
    """A token from which decoding continues the text up to unit ``last``: not the first one, to save time.

    Returns:
        The token; how many characters of what is decoded from there belong to units before; and how many characters of
        the text these units end at.
    """
    context = _CONTEXT
    while True:
        origin = whole[bisect_right(whole, whole[-1] - context) - 1] if whole[-1] > context else 0
        if origin == 0:
            return 0, 0, 0
        done = lengths[whole[-1]]
        skipped = _decode(tokenizer, ids[bounds[origin] : bounds[whole[-1]]])
        block = _decode(tokenizer, ids[bounds[origin] : bounds[last]])
        tail = block[len(skipped) :].rstrip("\ufffd")
        if block.startswith(skipped) and text.startswith(tail, done) and text.endswith(skipped, 0, done):
            return bounds[origin], len(skipped), done
        context *= 2


def _byte_offsets(text: str, start: int, end: int, is_byte: list[bool]) -> list[tuple[int, int]]:
    """Characters of each token of a run of byte tokens that decodes to ``text[start:end]``; none of special tokens."""
    sizes = [len(character.encode(errors="surrogatepass")) for character in text[start:end]]
    count = sum(is_byte)
    if sum(sizes) == count:
        owners = np.repeat(np.arange(start, end), sizes).tolist()
    elif len(sizes) == count:  # no characters: one mark a byte
        owners = list(range(start, end))
    else:
        return [(start, end if byte else start) for byte in is_byte]
    offsets: list[tuple[int, int]] = []
    for byte in reversed(is_byte):  # a run ends with a byte; a special token stands where the byte after it starts
        owner = owners.pop() if byte else offsets[-1][0]
        offsets.append((owner, owner + int(byte)))
    return offsets[::-1]


def _common(a: str, b: str) -> int:
    """Length of the longest common prefix."""
    return (
        len(a)
        if b.startswith(a)
        else sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    )


def _decode(tokenizer: Any, ids: list[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    return text


def _special_ids(tokenizer: Any) -> set[int]:
    """Ids that decoding skips."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {*tokenizer.all_special_ids, *(token for token, content in added.items() if content.special)}


def _byte_ids(tokenizer: Any, ids: list[int]) -> set[int]:
    """Ids of tokens that stand for one byte (``<0xE8>``), which sentencepiece models spell rare characters in."""
    distinct = sorted(set(ids))
    names = zip(distinct, tokenizer.convert_ids_to_tokens(distinct), strict=True)
    return {
        token for token, name in names if _BYTE_TOKEN.fullmatch(name or "") and len(_decode(tokenizer, [token])) < 2
    }
