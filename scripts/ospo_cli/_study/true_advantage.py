"""The true advantage of each phrase by Monte Carlo, and what every redistribution lays on the phrase instead.

Rewrites are drawn from a policy, several a query. From just before and from just after each of their segments the
policy completes the text many times; the difference of the mean rewards is the segment's true advantage, over the
standard deviation of the query's rewards, in the unit of GRPO's A. The difference from after a segment to before the
next is that of the separator between them, and the reward less the mean from after the last segment is that of the end.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ospo_agents.advantages import CreditedRollouts, group_relative, make_redistribution
from ospo_agents.batches import CreditedCompletion, credit_completions, pad_rows, stack_completions
from ospo_agents.credit import make_solution
from ospo_agents.policies.generation import complete, evaluating, generation_settings
from ospo_agents.policies.language_model import load_policy
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.training.progress import quiet
from ospo_agents.training.trl_parts import Start
from ospo_cli._study.cells import cell_settings, open_cell, train_policy, write_report
from ospo_cli._study.plan import Cell
from ospo_env import RetrievalTask

__all__ = ["COMPARED", "Scheme", "measure_true_advantages"]

GROUP = 8
_BATCH = 512
_FLAT = 0.03  # spread of a query's rewards under which nothing is to be told apart


class Scheme(NamedTuple):
    """A way from rewards to the advantages of tokens: a solution, and a redistribution of its credit."""

    solution: str
    redistribution: str
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed
    solution_settings: dict[str, Any] = {}  # noqa: RUF012


_GAIN = {"word_weight": 0.0, "centring": "none", "divisor": "reward"}

COMPARED: dict[str, Scheme | None] = {
    "grpo": None,
    "additive": Scheme("sampled_shapley", "additive"),
    "additive of state": Scheme("state_shapley", "additive"),
    "additive of half state": Scheme("state_shapley", "additive", {}, {"share": 0.5}),
    "additive of half state, twins": Scheme("state_shapley", "additive", {"twin_weight": 0.5}, {"share": 0.5}),
    "signed": Scheme("sampled_shapley", "signed"),
    "signed, over std R": Scheme("sampled_shapley", "additive", {"word_weight": 0.0, "divisor": "reward"}),
    "state": Scheme("state_shapley", "additive", _GAIN),
    "state, twins": Scheme("state_shapley", "additive", {**_GAIN, "twin_weight": 0.5}),
    "state, group mean off, twins": Scheme(
        "state_shapley", "additive", {**_GAIN, "centring": "group", "twin_weight": 0.5}
    ),
    "state, place mean off, twins": Scheme(
        "state_shapley", "additive", {**_GAIN, "centring": "place", "twin_weight": 0.5}
    ),
    "state, place mean off": Scheme("state_shapley", "additive", {**_GAIN, "centring": "place"}),
    "signed, place mean off": Scheme("sampled_shapley", "additive", {**_GAIN, "centring": "place"}),
    "half state, twins": Scheme(
        "state_shapley", "additive", {**_GAIN, "centring": "group", "twin_weight": 0.5}, {"share": 0.5}
    ),
    "leave one out": Scheme("leave_one_out", "additive", _GAIN),
    "prefix": Scheme("prefix_potential", "additive", _GAIN),
    "potential of prefixes": Scheme("prefix_potential", "potential"),
    "myerson, signed": Scheme("myerson", "signed"),
    "return to go": Scheme("sampled_shapley", "return_to_go"),
    "prop": Scheme("sampled_shapley", "prop"),
    "rank": Scheme("sampled_shapley", "rank"),
    "published: contiguous, prop of min-max": Scheme("contiguous", "prop", {"scaling": "minmax"}),
    "oar (leave one out)": Scheme("leave_one_out", "oar"),
    "scar": Scheme("sampled_shapley", "scar"),
    "entropy weights": Scheme("sampled_shapley", "entropy_weights"),
    "tempo": Scheme("sampled_shapley", "tempo"),
    "grpo-lambda": Scheme("sampled_shapley", "grpo_lambda", {"decay": 0.9}),
}
"""Schemes by their names in the table; none for GRPO's one advantage a rollout."""


@dataclasses.dataclass(frozen=True)
class _Model:
    """A policy that completes texts, and the task that values them."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompt_format: PromptFormat
    longest: int

    def context(self, prompt: str) -> list[int]:
        ids: list[int] = self.tokenizer.apply_chat_template(
            self.prompt_format.messages(prompt), add_generation_prompt=True
        )["input_ids"]
        return ids

    def continued(self, contexts: Sequence[list[int]], begun: Sequence[list[int]]) -> list[list[int]]:
        """Whole completions of contexts, each of which begins as given: with the end token where the model ended it."""
        whole: list[list[int]] = [[] for _ in contexts]
        order = sorted(range(len(contexts)), key=lambda row: len(contexts[row]) + len(begun[row]))
        end = self.tokenizer.eos_token_id
        for first in range(0, len(order), _BATCH):
            rows = order[first : first + _BATCH]
            settings = generation_settings(
                self.model,
                self.tokenizer,
                max_new_tokens=self.longest - min(len(begun[row]) for row in rows),
                temperature=1.0,
            )
            drawn = complete(self.model, self.tokenizer, [contexts[row] + begun[row] for row in rows], settings)
            for row, completion in zip(rows, drawn, strict=True):
                tokens = begun[row] + completion.token_ids + ([end] if completion.ended else [])
                whole[row] = tokens[: self.longest]
        return whole

    def rewards(self, task: RetrievalTask, ids: Sequence[str], completions: Sequence[list[int]]) -> NDArray[np.float64]:
        """Reward of each completion, float64 (B,)."""
        texts = self.tokenizer.batch_decode(completions, skip_special_tokens=True)
        return task.rewards(list(ids), [self.prompt_format.rewrite(text) or "" for text in texts])


class _Place(NamedTuple):
    """A place between two tokens of a completion, just before or after a segment."""

    row: int
    segment: int
    after: bool
    tokens: int


def measure_true_advantages(cell: Cell, warm: Path, path: Path) -> None:
    """Write the true advantages of one task and seed, and what every scheme laid there.

    Args:
        cell: Task, seed, split and steps: the policy is the warm start after so many steps of the default OSPO, at its
            default learning rate. Settings are ``queries`` and ``continuations``.
        warm: Directory of the warm start.
        path: File to write: the cell's fields and, for ``words`` and for ``separators`` (ends included), ``query`` of
            each, its ``true`` advantage, the variance of its ``noise``, and by scheme what it ``laid``; of words also
            whether each is a ``repeat`` of an earlier one in its text.
    """
    quiet()
    task = open_cell(cell)
    policy = load_policy(warm)
    settings = cell_settings(cell, {})
    if cell.steps:
        train_policy(settings, Start(task, *policy))
    model = _Model(*policy, longest=settings.max_completion_length)
    ids, prompts = task.prompts(cell.split)
    drawn = np.random.default_rng(cell.seed).permutation(len(ids))[: cell.settings["queries"]]
    rows = [int(query) for query in drawn for _ in range(GROUP)]
    ids, contexts = [ids[row] for row in rows], [model.context(prompts[row]) for row in rows]
    with evaluating(model.model, cell.seed):
        completions = model.continued(contexts, [[]] * len(contexts))
        laid = _laid(model, task, ids, contexts, completions)
        any_scheme = next(iter(laid.values()))[0]
        means, variances = _values(model, task, ids, contexts, completions, any_scheme, cell.settings["continuations"])
    report = {**dataclasses.asdict(cell), **_compared(any_scheme, laid, means, variances)}
    write_report(path, report)


def _laid(
    model: _Model,
    task: RetrievalTask,
    ids: Sequence[str],
    contexts: Sequence[list[int]],
    completions: Sequence[list[int]],
) -> dict[str, tuple[CreditedRollouts, NDArray[np.float64]]]:
    """Rollouts and advantages (B, T) by scheme."""
    group = np.arange(len(ids)) // GROUP
    entropy = _entropies(model, contexts, completions)
    credited: dict[str, list[CreditedCompletion]] = {}
    laid = {}
    for name, scheme in COMPARED.items():
        chosen = scheme or Scheme("sampled_shapley", "additive")
        key = repr((chosen.solution, chosen.solution_settings))
        if key not in credited:
            credited[key] = credit_completions(
                task,
                ids,
                completions,
                model.tokenizer,
                model.prompt_format.answer_span,
                segmenter="phrases",
                solution=make_solution(chosen.solution, **chosen.solution_settings),
            )
        rewards = np.array([one.reward for one in credited[key]])
        rollouts = stack_completions(credited[key], group_relative(rewards, group), group, entropy=entropy)
        if scheme is None:
            advantages = np.where(rollouts.mask, rollouts.advantages[:, None], 0.0)
        else:
            advantages = make_redistribution(scheme.redistribution, **scheme.settings)(rollouts)
        laid[name] = rollouts, advantages
    return laid


def _entropies(model: _Model, contexts: Sequence[list[int]], completions: Sequence[list[int]]) -> NDArray[np.float64]:
    """Entropy of the policy at each token, nats, float64 (B, T); 0 behind the ends."""
    rows: list[NDArray[np.float64]] = []
    with torch.inference_mode():
        for context, completion in zip(contexts, completions, strict=True):
            logits = model.model(torch.tensor([context + completion])).logits[0, len(context) - 1 : -1]
            chances = logits.double().log_softmax(dim=-1)
            rows.append((-(chances.exp() * chances).sum(dim=-1)).numpy())
    return pad_rows(rows, padding=0.0)


def _places(rollouts: CreditedRollouts, longest: int) -> Iterator[_Place]:
    """Places before and after each segment that has a token."""
    for row, segments in enumerate(rollouts.segment):
        for segment in np.unique(segments[segments >= 0]).tolist():
            tokens = np.flatnonzero(segments == segment)
            yield _Place(row, segment, False, int(tokens[0]))
            if tokens[-1] + 1 < longest:
                yield _Place(row, segment, True, int(tokens[-1]) + 1)


def _values(
    model: _Model,
    task: RetrievalTask,
    ids: Sequence[str],
    contexts: Sequence[list[int]],
    completions: Sequence[list[int]],
    rollouts: CreditedRollouts,
    continuations: int,
) -> tuple[dict[tuple[int, int, bool], float], dict[tuple[int, int, bool], float]]:
    """Mean reward of continuations from each place, and the variance of that mean."""
    places = list(_places(rollouts, model.longest))
    jobs = [place for place in places for _ in range(continuations)]
    whole = model.continued([contexts[job.row] for job in jobs], [completions[job.row][: job.tokens] for job in jobs])
    rewards = model.rewards(task, [ids[job.row] for job in jobs], whole).reshape(len(places), continuations)
    means = {place[:3]: float(mean) for place, mean in zip(places, rewards.mean(axis=1), strict=True)}
    spread = rewards.var(axis=1, ddof=1) / continuations
    return means, {place[:3]: float(value) for place, value in zip(places, spread, strict=True)}


def _compared(
    rollouts: CreditedRollouts,
    laid: dict[str, tuple[CreditedRollouts, NDArray[np.float64]]],
    means: dict[tuple[int, int, bool], float],
    variances: dict[tuple[int, int, bool], float],
) -> dict[str, Any]:
    """True advantages and laid ones, of words and of separators."""
    words: dict[str, list[Any]] = {"query": [], "true": [], "noise": [], "repeat": []}
    separators: dict[str, list[Any]] = {"query": [], "true": [], "noise": []}
    at_words: list[tuple[int, NDArray[np.int64]]] = []
    at_separators: list[tuple[int, NDArray[np.int64]]] = []
    assert rollouts.phrase is not None
    assert rollouts.separator is not None
    for group in np.unique(rollouts.group):
        members = np.flatnonzero(rollouts.group == group)
        spread = float(rollouts.rewards[members].std(ddof=1))
        if spread < _FLAT:
            continue
        for row in members.tolist():
            segments = rollouts.segment[row]
            present = np.unique(segments[segments >= 0]).tolist()
            keys = rollouts.phrase[row]
            for place, segment in enumerate(present):
                before, after = (row, segment, False), (row, segment, True)
                if after not in means:
                    continue
                words["query"].append(int(group))
                words["true"].append((means[after] - means[before]) / spread)
                words["noise"].append((variances[after] + variances[before]) / spread**2)
                words["repeat"].append(bool((keys[:segment] == keys[segment]).any()))
                at_words.append((row, np.flatnonzero(segments == segment)))
                last = int(np.flatnonzero(segments == segment)[-1])
                further = present[place + 1 : place + 2]
                until = int(np.flatnonzero(segments == further[0])[0]) if further else rollouts.mask.shape[1]
                between = np.flatnonzero(rollouts.separator[row] & (np.arange(len(segments)) < until))
                between = between[between > last]
                if not len(between):
                    continue
                following = means[row, further[0], False] if further else float(rollouts.rewards[row])
                noise = variances[row, further[0], False] if further else 0.0
                separators["query"].append(int(group))
                separators["true"].append((following - means[after]) / spread)
                separators["noise"].append((variances[after] + noise) / spread**2)
                at_separators.append((row, between))
    for kind, places in ((words, at_words), (separators, at_separators)):
        kind["laid"] = {  # type: ignore[assignment]
            name: [round(float(advantages[row, tokens].mean()), 6) for row, tokens in places]
            for name, (_, advantages) in laid.items()
        }
    return {"words": words, "separators": separators}
