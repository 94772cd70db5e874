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
from ospo_agents.protocols import CoalitionTask
from ospo_agents.rollouts import CreditedRollouts
from ospo_agents.segments import Segmenter, phrase_key

__all__ = ["CreditedCompletion", "credit_completions", "pad_rows", "stack_completions"]


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
    """

    reward: float
    credit: NDArray[np.float64]
    phrases: list[str]
    token_ids: list[int]
    tokens: TokenMap
    solution: str
    unions_matter: bool
    calls: int | None


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
    """
    answers = [find_answer(tokenizer, token_ids, answer_span) for token_ids in completion_ids]
    credited = assign_credit(
        task,
        prompt_ids,
        [answer.rewrite for answer in answers],
        segmenter=segmenter,
        solution=solution,
        over_budget="sample",
        calls=calls,
    )
    return [
        CreditedCompletion(
            reward=text.worth,
            credit=text.credit,
            phrases=[phrase_key(text.text[start:end]) for start, end in text.spans],
            token_ids=token_ids,
            tokens=map_tokens(answer, text.spans, credit_separators=credit_separators),
            solution=text.solution,
            unions_matter=text.unions_matter,
            calls=text.calls,
        )
        for answer, text, token_ids in zip(answers, credited, completion_ids, strict=True)
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
    lengths = np.array([len(one.tokens.segment) for one in completions])
    segment = pad_rows([one.tokens.segment for one in completions], padding=-1, width=width)
    numbers = {key: number for number, key in enumerate({key for one in completions for key in one.phrases})}
    return CreditedRollouts(
        advantages=advantages,
        rewards=np.array([one.reward for one in completions]),
        credit=pad_rows([one.credit for one in completions], padding=np.nan),
        segment=segment,
        mask=np.arange(segment.shape[1]) < lengths[:, None],
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
