"""Accuracy of credit against the sample's ground truth: does it separate phrases of the latent intent from others?

A policy after its warm start rewrites the queries of a split, several times each. The sample's generator records each
query's latent intent as catalogue phrases, so every segment is right or wrong. Worths come from the retriever of
training alone.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_agents.advantages import CreditedRollouts, group_relative, make_redistribution
from ospo_agents.answers import TokenMap, find_answer, map_tokens
from ospo_agents.assignment import assign_credit
from ospo_agents.credit import Solution, make_solution
from ospo_agents.policies.language_model import LanguageModelPolicy, load_policy
from ospo_agents.segments import phrases
from ospo_agents.training.progress import quiet
from ospo_cli._study.cells import open_cell, write_report
from ospo_cli._study.numbers import area_under_roc, area_within_groups
from ospo_cli._study.plan import Cell

__all__ = [
    "COMPARED_REDISTRIBUTIONS",
    "COMPARED_SOLUTIONS",
    "WarmRollouts",
    "areas",
    "matches_intent",
    "measure_accuracy",
    "warm_rollouts",
]

GROUP = 8
_ROLLOUTS_AT_ONCE = 64  # in one call of assign_credit, since exact plans are large

COMPARED_SOLUTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "shapley": ("shapley", {}),
    "sampled Shapley, 512": ("sampled_shapley", {}),
    "sampled Shapley, 64": ("sampled_shapley", {"budget": 64}),
    "sampled Shapley, 32": ("sampled_shapley", {"budget": 32}),
    "sampled Owen, 512": ("sampled_owen", {}),
    "myerson": ("myerson", {}),
    "myerson, width 2": ("myerson", {"width": 2}),
    "contiguous (published)": ("contiguous", {}),
    "leave one out": ("leave_one_out", {}),
    "prefix": ("prefix_potential", {}),
}
"""Solutions by their names in the table. Exact Shapley covers rollouts of at most 16 segments: all of these tasks."""

COMPARED_REDISTRIBUTIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "additive": ("sampled Shapley, 512", "additive", {}),
    "signed": ("sampled Shapley, 512", "signed", {}),
    "return to go": ("sampled Shapley, 512", "return_to_go", {}),
    "prop": ("sampled Shapley, 512", "prop", {}),
    "rank": ("sampled Shapley, 512", "rank", {}),
    "published: contiguous, prop of min-max": ("contiguous (published)", "prop", {"scaling": "minmax"}),
    "potential of prefixes": ("prefix", "potential", {}),
}
"""Redistributions by their names in the table: the solution, the redistribution and its settings."""


def measure_accuracy(cell: Cell, warm: Path, path: Path) -> None:
    """Write the areas under the ROC curve of one task and seed as JSON.

    Args:
        cell: Task, seed and split.
        warm: Directory of the policy.
        path: File to write: the cell's fields and ``credit`` and ``advantages``, each from a name to ``all`` (pairs of
            any two segments or tokens), ``same query`` (pairs of one query's rollouts) and, for credit, evaluations a
            rollout; ``segments``, how many; ``right``, the share that matches.
    """
    quiet()
    task = open_cell(cell)
    rollouts = warm_rollouts(cell, warm, task)
    ids, texts, spans, labels = rollouts.ids, rollouts.texts, rollouts.spans, rollouts.labels
    tokenizer = rollouts.tokenizer
    flat, queries = rollouts.flat, rollouts.queries
    credit: dict[str, list[NDArray[np.float64]]] = {}
    report: dict[str, Any] = {
        **dataclasses.asdict(cell),
        "segments": len(flat),
        "right": float(flat.mean()),
        "credit": {},
    }
    for name, (solution, settings) in COMPARED_SOLUTIONS.items():
        credit[name], evaluations = _solve(task, ids, texts, make_solution(solution, **settings))
        values = np.concatenate(credit[name])
        report["credit"][name] = {**areas(values, flat, queries), "evaluations": evaluations}
    rewards = task.rewards(ids, texts)
    tokens = [_token_map(tokenizer, text, tiles) for text, tiles in zip(texts, spans, strict=True)]
    report["advantages"] = {
        name: _token_areas(tokens, labels, rewards, credit[solution], make_redistribution(redistribution, **settings))
        for name, (solution, redistribution, settings) in COMPARED_REDISTRIBUTIONS.items()
    }
    report["advantages"]["grpo"] = _token_areas(tokens, labels, rewards, credit["shapley"], _group_advantages)
    write_report(path, report)


class WarmRollouts(NamedTuple):
    """B rewrites sampled from a policy after its warm start, :data:`GROUP` of each query, and which segments are right.

    Attributes:
        ids: Prompt ids, length B.
        texts: Rewrites.
        spans: Their segments.
        labels: Whether each segment is of the query's intent, B times bool (N_b,).
        tokenizer: The policy's.
    """

    ids: list[str]
    texts: list[str]
    spans: list[list[tuple[int, int]]]
    labels: list[NDArray[np.bool_]]
    tokenizer: Any

    @property
    def flat(self) -> NDArray[np.bool_]:
        """Labels of all segments in order."""
        return np.concatenate(self.labels)

    @property
    def queries(self) -> NDArray[np.int64]:
        """Number of the query of each of these segments."""
        return np.repeat(np.arange(len(self.ids)) // GROUP, [len(tiles) for tiles in self.spans])


def warm_rollouts(cell: Cell, warm: Path, task: Any, most: int | None = None) -> WarmRollouts:
    """Rewrites of the queries of a cell's split, of the first ``most`` of them, by the policy in a directory."""
    model, tokenizer, prompt_format = load_policy(warm)
    ids, prompts = ([item for item in items[:most] for _ in range(GROUP)] for items in task.prompts(cell.split))
    policy = LanguageModelPolicy(model, tokenizer, prompt_format, temperature=1.0, seed=cell.seed, batch_size=256)
    texts = policy(ids, prompts)
    spans = [phrases(text) for text in texts]
    labels = [
        matches_intent(text, tiles, task.query(prompt_id).intent)
        for prompt_id, text, tiles in zip(ids, texts, spans, strict=True)
    ]
    return WarmRollouts(ids, texts, spans, labels, tokenizer)


def matches_intent(text: str, spans: Sequence[tuple[int, int]], intent: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each segment is a phrase of the intent, by its letters and digits.

    Args:
        text: A rewrite.
        spans: Its segments, (N, 2).
        intent: Phrases.

    Returns:
        bool (N,).

    >>> matches_intent("Red coat, boots", [(0, 9), (9, 15)], ["red coat", "hat"])
    array([ True, False])
    """
    intent_phrases = {_bare(phrase) for phrase in intent}
    return np.array([_bare(text[start:end]) in intent_phrases for start, end in spans], dtype=np.bool_)


def _bare(phrase: str) -> str:
    return " ".join(re.findall(r"\w+", phrase.casefold()))


def _solve(
    task: Any, ids: Sequence[str], texts: Sequence[str], solution: Solution
) -> tuple[list[NDArray[np.float64]], float]:
    """Credit of each rollout's segments, and the mean number of distinct coalitions a rollout."""
    credit: list[NDArray[np.float64]] = []
    evaluations = 0
    for first in range(0, len(texts), _ROLLOUTS_AT_ONCE):
        some = slice(first, first + _ROLLOUTS_AT_ONCE)
        seeds = range(first, first + len(texts[some]))
        credited = assign_credit(task, ids[some], texts[some], segmenter=phrases, solution=solution, seeds=seeds)
        credit += [text.credit for text in credited]
        evaluations += sum(text.distinct_coalitions for text in credited)
    return credit, evaluations / len(texts)


def _token_map(tokenizer: Any, text: str, spans: Sequence[tuple[int, int]]) -> TokenMap:
    """Segment of each token of a rewrite, as in training."""
    token_ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return map_tokens(find_answer(tokenizer, token_ids, lambda completion: (0, len(completion))), spans)


def _token_areas(
    tokens: Sequence[TokenMap],
    labels: Sequence[NDArray[np.bool_]],
    rewards: NDArray[np.float64],
    credit: Sequence[NDArray[np.float64]],
    redistribute: Any,
) -> dict[str, float]:
    """Areas under the ROC curve of token advantages, tokens of right segments against those of wrong ones."""
    lengths = np.array([len(rollout.segment) for rollout in tokens])
    width = max(lengths)
    segment = np.stack([_wide(rollout.segment, width, -1) for rollout in tokens])
    group = np.arange(len(rewards)) // GROUP
    advantages = redistribute(
        CreditedRollouts(
            advantages=group_relative(rewards, group),
            rewards=rewards,
            credit=_padded(credit),
            segment=segment,
            mask=np.arange(width) < lengths[:, None],
            group=group,
            whole=np.stack([_wide(rollout.whole, width, rollout.whole.max(initial=0)) for rollout in tokens]),
        )
    )
    row, column = np.nonzero(segment >= 0)
    right = np.array(
        [labels[r][segment[r, c]] for r, c in zip(row.tolist(), column.tolist(), strict=True)], dtype=np.bool_
    )
    return areas(advantages[row, column], right, row // GROUP)


def _wide(row: NDArray[np.int64], width: int, padding: int) -> NDArray[np.int64]:
    return np.pad(row, (0, width - len(row)), constant_values=padding)


def _group_advantages(rollouts: CreditedRollouts) -> NDArray[np.float64]:
    """GRPO: each token gets its rollout's advantage."""
    return np.where(rollouts.mask, rollouts.advantages[:, None], 0.0)


def _padded(credit: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    padded = np.full((len(credit), max(map(len, credit))), np.nan)
    for place, row in zip(padded, credit, strict=True):
        place[: len(row)] = row
    return padded


def areas(values: NDArray[np.float64], right: NDArray[np.bool_], groups: NDArray[np.int64]) -> dict[str, float]:
    """Areas under the ROC curve of values that should tell right from wrong: of ``all`` pairs, and within groups."""
    return {"all": area_under_roc(values, right), "same query": area_within_groups(values, right, groups)}
