"""Tokens of a completion to characters of its text, and those to segments.

A tokenizer's own offsets belong to text that it encoded. Sampled tokens may be others than those it would choose for
the same text, so offsets are found by decoding.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents.protocols import Spans

__all__ = ["segment_of_tokens", "separators", "token_offsets", "whole_segments"]

_BLOCK = 32  # tokens whose prefixes are decoded together
_CONTEXT = 8  # tokens decoded before a block, since decoders treat the first token of a text differently


def token_offsets(tokenizer: Any, ids: Sequence[int]) -> tuple[str, NDArray[np.int64]]:
    r"""Decoded text of a completion, and the characters in it that each token stands for.

    A token's characters are those that appear in the decoded text when the token is added. Tokens that hold only
    some bytes of a character all cover that character, and a token without characters of its own (a lone ``▁``
    that the decoder strips) covers the first character of the next token.

    Args:
        tokenizer: A transformers tokenizer: anything with ``decode(ids, skip_special_tokens=True)``,
            ``all_special_ids`` and, where it has added special tokens, ``added_tokens_decoder``.
        ids: Token ids, length T.

    Returns:
        The text, equal to ``tokenizer.decode(ids, skip_special_tokens=True)``, and int64 (T, 2) half-open spans in
        it whose starts do not decrease. A special token has an empty span where it stands.
    """
    ids = [int(token) for token in ids]
    text = _decode(tokenizer, ids)
    ends = np.minimum.accumulate(_prefix_lengths(tokenizer, ids, text)[::-1])[::-1]
    ends = np.append(ends[:-1], len(text)).astype(np.int64) if ids else np.zeros(0, dtype=np.int64)
    offsets = np.stack([np.append(0, ends[:-1])[: len(ids)], ends], axis=1)
    special = _special_ids(tokenizer)
    position = len(text)  # start of the nearest later token with characters
    for token in range(len(ids) - 1, -1, -1):
        start, end = offsets[token]
        if end > start:
            position = int(start)
        elif ids[token] not in special and position == start and start < len(text):
            offsets[token, 1] = start + 1
    for token in range(1, len(ids)):  # bytes of a character that was cut off: decoded together as one mark at the end
        start, end = offsets[token]
        if start == end == len(text) and text.endswith("\ufffd") and ids[token] not in special:
            offsets[token] = len(text) - 1, len(text)
    return text, offsets


def segment_of_tokens(offsets: NDArray[np.int64], spans: Spans, start_of_span: int = 0) -> NDArray[np.int64]:
    """Segment of each token: that of the token's first character in the scored span.

    Args:
        offsets: int (T, 2), characters of each token in the completion, from :func:`token_offsets`.
        spans: Segments that tile the scored span, counted from its start; length N.
        start_of_span: Where the scored span starts in the completion.

    Returns:
        int64 (T,) in [0, N), and -1 for a token without a character in the scored span: text around it, and special
        tokens. The end-of-sequence token is one of these, since no segment of the text gains or loses by it.

    >>> segment_of_tokens(np.array([[0, 3], [3, 8], [8, 8]]), [(0, 3), (3, 8)])
    array([ 0,  1, -1])
    """
    if not len(spans):
        return np.full(len(offsets), -1, dtype=np.int64)
    bounds = np.asarray(spans, dtype=np.int64) + start_of_span
    first = np.maximum(offsets[:, 0], bounds[0, 0])
    inside = (first < np.minimum(offsets[:, 1], bounds[-1, 1])) & (offsets[:, 1] > offsets[:, 0])
    return np.where(inside, np.searchsorted(bounds[:, 0], first, side="right") - 1, -1).astype(np.int64)


def separators(text: str, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask of the tokens that hold no letter or digit: bool (T,).

    Such a token (a comma) decides whether another segment follows, as the end-of-sequence token does. The credit of its
    own segment does not measure that decision: on such a token, credit above the mean would teach the policy to go on
    and credit below it to stop, whatever comes next.

    Args:
        text: The completion.
        offsets: int (T, 2), characters of each token in it, from :func:`token_offsets`.

    >>> separators("red, coat", np.array([[0, 3], [3, 4], [4, 9], [9, 9]]))
    array([False,  True, False,  True])
    """
    return np.array([not any(map(str.isalnum, text[start:end])) for start, end in offsets.tolist()], dtype=np.bool_)


def whole_segments(
    offsets: NDArray[np.int64], decision_points: Sequence[int], start_of_span: int = 0
) -> NDArray[np.int64]:
    """Number of segments known to be whole before each token is chosen, from the text before it alone.

    Args:
        offsets: int (T, 2), characters of each token in the completion, from :func:`token_offsets`.
        decision_points: For each segment, how many characters of the scored span decide its end
            (:func:`ospo_agents.segments.decision_points`); does not decrease; length N.
        start_of_span: Where the scored span starts in the completion.

    Returns:
        int64 (T,) in [0, N], not decreasing.

    >>> whole_segments(np.array([[0, 4], [4, 10], [10, 14], [14, 18], [18, 24]]), [16, 25])
    array([0, 0, 0, 0, 1])
    """
    points = np.asarray(decision_points, dtype=np.int64) + start_of_span
    return np.searchsorted(points, offsets[:, 0], side="right").astype(np.int64)


def _prefix_lengths(tokenizer: Any, ids: list[int], text: str) -> NDArray[np.int64]:
    """For each token, how many leading characters of the text the tokens up to it decode to: int64 (T,)."""
    lengths = np.zeros(len(ids), dtype=np.int64)
    for start in range(0, len(ids), _BLOCK):
        stop = min(start + _BLOCK, len(ids))
        done = int(lengths[start - 1]) if start else 0
        origin = max(0, start - _CONTEXT)
        skipped = _decode(tokenizer, ids[origin:start])
        block = _decode(tokenizer, ids[origin:stop])
        tail = block[len(skipped) :].rstrip("\ufffd")
        # Decoding a window is right where it continues the text; elsewhere decode from the start.
        if not (block.startswith(skipped) and text.startswith(tail, done) and text[:done].endswith(skipped)):
            origin, skipped, done = 0, "", 0
        for token in range(start, stop):
            decoded = _decode(tokenizer, ids[origin : token + 1])[len(skipped) :]
            lengths[token] = done + _common(decoded, text[done : done + len(decoded)])
    return lengths


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
