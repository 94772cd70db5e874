"""The rewrite inside a completion, and the segment of each of the completion's tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents.alignment import boundary_tokens, segment_of_tokens, separators, whole_segments
from ospo_agents.offsets import token_offsets
from ospo_agents.protocols import Spans
from ospo_agents.segments import decision_points

__all__ = ["Answer", "TokenMap", "find_answer", "map_tokens"]


@dataclass(frozen=True)
class Answer:
    """A completion and where in it the rewrite stands.

    Attributes:
        completion: The decoded completion, special tokens left out.
        offsets: int64 (T, 2), characters of each token in it.
        span: Character span ``[start, end)`` of the rewrite; None for a malformed completion.
    """

    completion: str
    offsets: NDArray[np.int64]
    span: tuple[int, int] | None

    @property
    def rewrite(self) -> str | None:
        """The text that is sent to the retriever; None for a malformed completion."""
        return None if self.span is None else self.completion[slice(*self.span)]


@dataclass(frozen=True)
class TokenMap:
    """Places of a rewrite's segments among the T tokens of its completion.

    Attributes:
        segment: int64 (T,), the segment of each token; -1 outside the rewrite.
        whole: int64 (T,), how many segments were known to be whole before each token was chosen.
        separator: bool (T,), tokens of no segment that decide whether the rewrite goes on: those in it without a letter
            or digit, and the token that ends it.
    """

    segment: NDArray[np.int64]
    whole: NDArray[np.int64]
    separator: NDArray[np.bool_]

    def among(self, generated: NDArray[np.bool_]) -> "TokenMap":
        """These places among all T' tokens of a conversation, of which the policy generated T.

        Args:
            generated: bool (T',), true for the T tokens of this map; the others (a tool's) are of no segment.
        """
        segment, whole, separator = np.full(len(generated), -1), np.zeros(len(generated), np.int64), ~generated
        segment[generated], whole[generated], separator[generated] = self.segment, self.whole, self.separator
        return TokenMap(segment, np.maximum.accumulate(whole), separator & generated)


def find_answer(
    tokenizer: Any, token_ids: Sequence[int], answer_span: Callable[[str], tuple[int, int] | None]
) -> Answer:
    """Decode a completion and find the rewrite in it.

    Args:
        tokenizer: A transformers tokenizer (:func:`ospo_agents.offsets.token_offsets`).
        token_ids: Tokens of the completion, length T.
        answer_span: From the decoded completion to the rewrite's span, None where there is none:
            ``PromptFormat.answer_span``.
    """
    completion, offsets = token_offsets(tokenizer, token_ids)
    return Answer(completion, offsets, answer_span(completion))


def map_tokens(answer: Answer, spans: Spans, *, credit_separators: bool = False) -> TokenMap:
    """The segment of each token of a completion.

    Args:
        answer: The completion.
        spans: Segments that tile its rewrite, length N; none for a malformed completion.
        credit_separators: Whether tokens without a letter or digit belong to their segment, instead of to none.
    """
    start = 0 if answer.span is None else answer.span[0]
    segment = segment_of_tokens(answer.offsets, spans, start)
    separator = separators(answer.completion, answer.offsets)
    if not credit_separators:
        segment[separator] = -1
    return TokenMap(
        segment=segment,
        whole=whole_segments(answer.offsets, decision_points(answer.rewrite or "", spans), start),
        separator=boundary_tokens(answer.offsets, separator, answer.span) & (segment < 0),
    )
