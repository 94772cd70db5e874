"""Effect of a guard on evaluated policies: gains, wins, ties and losses with it and without, and its threshold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents import AgentError
from ospo_cli._policies import Request, ResolvedPolicy, open_policy
from ospo_env import RetrievalTask, Rewrites, TaskError
from ospo_env.evaluation.guard import DEPTH, Guard, choose_threshold, top_overlaps
from ospo_env.evaluation.intervals import Interval, mean_interval
from ospo_env.evaluation.verdict import RESAMPLES, make_verdict, query_means

__all__ = ["check_guard", "guard_lines", "guard_report"]

_RAW = "query"  # the policy that sends the raw query
_SPLIT = "validation"

Written = Callable[[str, str], Rewrites]
"""From the names of a policy and a retriever to the rewrites of the evaluated queries."""


def check_guard(
    threshold: float | bool | None, request: Request, policies: Mapping[str, ResolvedPolicy], task: RetrievalTask
) -> dict[str, ResolvedPolicy]:
    """The policies that write for the queries on which thresholds are chosen; none where nothing is chosen.

    Args:
        threshold: A share; True to have it chosen, None for no guard.
        request: Request of the evaluation.
        policies: The evaluated policies.
        task: One of the tasks of the evaluation.

    Raises:
        AgentError: Thresholds cannot be chosen, or no policy has rewrites that a guard could refuse.
    """
    if threshold is not None and all(name == _RAW for name in policies):
        raise AgentError(f"--guard: expected a policy whose rewrites it guards, beside {_RAW!r}, which has none")
    if threshold is not True:
        return {}
    ids, _ = task.prompts(_SPLIT)
    if request.split == _SPLIT or not ids:
        why = "which are evaluated here" if request.split == _SPLIT else "and there are none"
        raise AgentError(f"--guard: its share is chosen on {_SPLIT} queries, {why}; give one, such as --guard 0.3")
    chosen = {}
    for name in policies:
        if name != _RAW:
            chosen[name] = open_policy(name, request._replace(split=_SPLIT))
            try:
                chosen[name].check(task, ids)
            except (AgentError, TaskError) as error:
                raise AgentError(
                    f"--guard: its share is chosen on {_SPLIT} queries; give one, such as --guard 0.3: {error}"
                ) from error
    return chosen


def guard_report(
    threshold: float | bool,
    policies: Sequence[str],
    written: Written,
    tasks: Mapping[str, RetrievalTask],
    chosen: Mapping[str, ResolvedPolicy],
) -> dict[str, Any]:
    """Effect of the guard on policies under retrievers, JSON-able; the policy ``query`` is left out.

    Args:
        threshold: A share, or True to have it chosen.
        policies: Names of the evaluated policies.
        written: Gives their rewrites.
        tasks: Tasks by the name of their retriever.
        chosen: As :func:`check_guard` returns them.

    Returns:
        ``depth``, and for each policy and retriever the ``threshold``, the number of queries that it was ``chosen_on``
        (0 for none), the ``rewrites`` and how many were ``kept``, verdicts ``without`` and ``with`` the guard, and the
        ``change`` of the mean gain with its 95 % interval over queries.
    """
    effects: dict[str, dict[str, Any]] = {name: {} for name in policies if name != _RAW}
    once: dict[str, Rewrites] = {}
    for name, by_retriever in effects.items():
        for retriever, task in tasks.items():
            share, queries = threshold, 0
            if name in chosen:
                policy = chosen[name]
                rewrites = once.get(name) or policy.write(task, *task.prompts(_SPLIT), lambda done: None)
                if not policy.reads_task:
                    once[name] = rewrites
                share, queries = _choose(name, task, rewrites)
            effect = _effect(task, written(name, retriever), Guard(share))
            by_retriever[retriever] = {"threshold": share, "chosen_on": queries, **effect}
    return {"depth": DEPTH, "policies": effects}


def guard_lines(report: Mapping[str, Any]) -> list[str]:
    """Words of the guard's part of an evaluation.

    Args:
        report: The evaluation, as its JSON file holds it.
    """
    guard = report["guard"]
    lines = [
        "",
        f"Guard, {report['metric']}: the raw query is sent where fewer than a share of its first {guard['depth']} "
        f"documents are among the first {guard['depth']} of the rewrite, in the whole corpus",
    ]
    for name, by_retriever in guard["policies"].items():
        for retriever, effect in by_retriever.items():
            origin = f" (chosen on {effect['chosen_on']} {_SPLIT} queries)" if effect["chosen_on"] else ""
            lines.append(
                f"  {name} under {retriever}: share {effect['threshold']:g}{origin}, "
                f"{effect['kept']} of {effect['rewrites']} rewrites kept"
            )
            lines += [f"    {which:<8} {_verdict_text(effect[which])}" for which in ("without", "with")]
            lines.append(f"    {'change':<8} {_signed(effect['change'])}")
    return lines


def _measure(
    task: RetrievalTask, rewrites: Rewrites
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Overlaps, values and the raw queries' values of B rewrites, (B,) each."""
    ids = rewrites.prompt_ids
    raw = task.evaluate(ids, task.raw_rewrites(ids), [task.metric])[task.metric]
    return top_overlaps(task, ids, rewrites.texts), task.evaluate(ids, rewrites.texts, [task.metric])[task.metric], raw


def _choose(name: str, task: RetrievalTask, rewrites: Rewrites) -> tuple[float, int]:
    """A threshold, and the number of queries that it was chosen on: those with a rewrite that changes what is sent."""
    ids = rewrites.prompt_ids
    sent, raw = task.sent(ids, rewrites.texts), task.sent(ids, task.raw_rewrites(ids))
    changed = {prompt_id for prompt_id, *texts in zip(ids, sent, raw, strict=True) if len(set(texts)) > 1}
    if not changed:
        raise AgentError(
            f"--guard: its share is chosen on {_SPLIT} queries, and {name} rewrites none of them; give one, such as "
            "--guard 0.3"
        )
    rows = [row for row, prompt_id in enumerate(ids) if prompt_id in changed]
    own = replace(
        rewrites, prompt_ids=tuple(ids[row] for row in rows), texts=tuple(rewrites.texts[row] for row in rows)
    )
    return choose_threshold(*_measure(task, own), own.prompt_ids), len(changed)


def _effect(task: RetrievalTask, rewrites: Rewrites, guard: Guard) -> dict[str, Any]:
    overlaps, values, raw = _measure(task, rewrites)
    kept = guard.keeps(overlaps)
    ids = list(dict.fromkeys(rewrites.prompt_ids))
    without = query_means(values - raw, rewrites.prompt_ids, ids)
    guarded = query_means(np.where(kept, values - raw, 0.0), rewrites.prompt_ids, ids)
    return {
        "rewrites": len(values),
        "kept": int(kept.sum()),
        "without": make_verdict(without).as_json(),
        "with": make_verdict(guarded).as_json(),
        "change": mean_interval(guarded - without, RESAMPLES).as_json(),
    }


def _verdict_text(verdict: Mapping[str, Any]) -> str:
    signs = f"win {verdict['wins']} / tie {verdict['ties']} / loss {verdict['losses']}"
    return f"{_signed(verdict['gain'])}  {signs} (p {verdict['p_value']:.2g})"


def _signed(interval: Sequence[float | None]) -> str:
    shown = Interval.of_json(interval)
    return f"{shown.value:+.3f} {shown.bounds('+.3f')}"
