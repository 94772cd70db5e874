"""Completions of a language model with the credit of their segments, and a batch of them as a redistribution reads it.

The trainer and the study of true advantages share these two steps, so that what is measured is what is trained on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents.answers import TokenMap, find_answer, map_tokens
from ospo_agents.assignment import assign_credit
from ospo_agents.credit import Solution
from ospo_agents.errors import AgentError
from ospo_agents.protocols import CoalitionTask
from ospo_agents.rollouts import CreditedRollouts
from ospo_agents.segments import Segmenter, phrase_key

__all__ = ["CreditedCompletion", "credit_completions", "generated_ids", "pad_rows", "stack_completions"]


@dataclass(frozen=True)
class CreditedCompletion:
    """One completion after scoring, as processes exchange it.

    Attributes:
        reward: Worth of the whole rewrite; 0 for a malformed completion.
        credit: float64 (N,), credit of each segment.
        phrases: Keys of the N segments, equal for equal phrases.
        token_ids: Ids of the completion's T tokens.
        tokens: The segment of each completion token.
        solution: Name of the solution that credit is of.
        unions_matter: Whether the coalition structure can make a difference (:class:`CreditedText`).
        calls: Distinct texts that were scored at most, where other worths are estimated; None where all were scored.
        generated: bool (T,), tokens that the policy generated; None for all. The others are a tool's.
    """

    reward: float
    credit: NDArray[np.float64]
    phrases: list[str]
    token_ids: list[int]
    tokens: TokenMap
    solution: str
    unions_matter: bool
    calls: int | None
    generated: NDArray[np.bool_] | None = None


def credit_completions(
    task: CoalitionTask,
    prompt_ids: Sequence[str],
    completion_ids: Sequence[list[int]],
    tokenizer: Any,
    answer_span: Callable[[str], tuple[int, int] | None],
    *,
    segmenter: str | Segmenter,
    solution: Solution,
    credit_separators: bool = False,
    calls: int | None = None,
    generated: Sequence[Sequence[int]] | None = None,
) -> list[CreditedCompletion]:
    """Credit of the segments of each completion's rewrite; the task is called once.

    A text of more segments than the solution's budget allows is credited by an estimate: nothing that a policy
    writes may end a run.

    Args:
        task: Values subsets of a text's segments.
        prompt_ids: The prompt that each completion answers, length B.
        completion_ids: Tokens of the completions, length B.
        tokenizer: A transformers tokenizer.
        answer_span: From a decoded completion to the span of its rewrite: ``PromptFormat.answer_span``.
        segmenter: Cuts a rewrite into segments.
        solution: Divides the worth.
        credit_separators: Whether tokens without a letter or digit belong to their segment.
        calls: Distinct texts of each rewrite that the task scores at most; None for all.
        generated: 0 for the tokens of each completion that a tool wrote, else 1; None where there are none. The rewrite
            is read as if a tool's tokens were not there, and they get no credit.

    Raises:
        AgentError: A completion has not one number in ``generated`` for each token.
    """
    masks = None if generated is None else [np.asarray(mask) != 0 for mask in generated]
    answers = [find_answer(tokenizer, own, answer_span) for own in generated_ids(completion_ids, generated)]
    credited = assign_credit(
        task,
        prompt_ids,
        [answer.rewrite for answer in answers],
        segmenter=segmenter,
        solution=solution,
        over_budget="sample",
        calls=calls,
    )
    maps = [
        map_tokens(answer, text.spans, credit_separators=credit_separators)
        for answer, text in zip(answers, credited, strict=True)
    ]
    return [
        CreditedCompletion(
            reward=text.worth,
            credit=text.credit,
            phrases=[phrase_key(text.text[start:end]) for start, end in text.spans],
            token_ids=token_ids,
            tokens=maps[row] if masks is None else maps[row].among(masks[row]),
            solution=text.solution,
            unions_matter=text.unions_matter,
            calls=text.calls,
            generated=None if masks is None else masks[row],
        )
        for row, (text, token_ids) in enumerate(zip(credited, completion_ids, strict=True))
    ]


def generated_ids(
    completion_ids: Sequence[Sequence[int]], generated: Sequence[Sequence[int]] | None
) -> list[list[int]]:
    """Tokens of each completion that the policy generated.

    Args:
        completion_ids: Tokens of the completions, length B.
        generated: 0 for the tokens of each that a tool wrote, else 1; None for all.

    Raises:
        AgentError: A completion has not one number in ``generated`` for each token.

    >>> generated_ids([[5, 6, 7]], [[1, 0, 1]])
    [[5, 7]]
    """
    if generated is None:
        return [list(ids) for ids in completion_ids]
    lengths, expected = [len(mask) for mask in generated], [len(ids) for ids in completion_ids]
    if lengths != expected:
        raise AgentError(f"expected masks of generated tokens of the lengths {expected}, but got {lengths}")
    return [
        [token for token, own in zip(ids, mask, strict=True) if own]
        for ids, mask in zip(completion_ids, generated, strict=True)
    ]


def stack_completions(
    completions: Sequence[CreditedCompletion],
    advantages: NDArray[np.float64],
    group: NDArray[np.int64],
    *,
    width: int = 0,
    per_reward: NDArray[np.float64] | None = None,
    entropy: NDArray[np.float64] | None = None,
) -> CreditedRollouts:
    """A batch of completions as redistributions read it.

    Args:
        completions: Completions, length B.
        advantages: float (B,), advantage of each in its group.
        group: int (B,), the group of each.
        width: Least number of columns T of the token arrays.
        per_reward: float (B,), as in :class:`CreditedRollouts`.
        entropy: float (B, T), as there.
    """
    segment = pad_rows([one.tokens.segment for one in completions], padding=-1, width=width)
    own = [np.ones(len(one.tokens.segment), bool) if one.generated is None else one.generated for one in completions]
    numbers = {key: number for number, key in enumerate({key for one in completions for key in one.phrases})}
    return CreditedRollouts(
        advantages=advantages,
        rewards=np.array([one.reward for one in completions]),
        credit=pad_rows([one.credit for one in completions], padding=np.nan),
        segment=segment,
        mask=pad_rows(own, padding=False, width=width),
        group=group,
        whole=pad_rows([one.tokens.whole for one in completions], padding=0, width=width),
        separator=pad_rows([one.tokens.separator for one in completions], padding=False, width=width),
        phrase=pad_rows([np.array([numbers[key] for key in one.phrases], np.int64) for one in completions], padding=-1),
        per_reward=per_reward,
        tokens=pad_rows([np.array(one.token_ids) for one in completions], padding=-1, width=width),
        entropy=entropy,
    )


def pad_rows(rows: Sequence[NDArray[Any]], *, padding: float, width: int = 0) -> NDArray[Any]:
    """Rows of different lengths as one array (B, at least ``width``)."""
    padded = np.full((len(rows), max(width, *(len(row) for row in rows))), padding, dtype=rows[0].dtype)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded
