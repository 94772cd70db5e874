"""Kinds of policies, and the opening of a name; the best of a policy's samples is a kind that opens another name."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._best_of import BEST_OF, choose, draw_seeds, parse_best_of, remark, share_of_progress
from ospo_cli._policies.files import resolve_file
from ospo_cli._policies.resolved import LONGEST_NAME, Request, ResolvedPolicy, make_rewrites
from ospo_cli._policies.writers import (
    ENDPOINT,
    resolve_endpoint,
    resolve_language_model,
    resolve_reference,
    resolve_stable_baselines,
)
from ospo_cli._recorded import recorded_retriever
from ospo_cli._run_file import SETTINGS
from ospo_env import REFERENCE_POLICIES, RetrievalTask, Rewrites

__all__ = ["KINDS", "open_policy"]

_OF_ONE_DRAW = ("malformed", "completions_cut", "policy_digest")  # notes that do not hold for the best of several


def open_policy(name: str, request: Request) -> ResolvedPolicy:
    """Resolve the name of a policy.

    Raises:
        AgentError: No kind knows the name, or what it names cannot be used.
    """
    for kind in KINDS:
        policy = kind(name, request)
        if policy is not None:
            return policy
    near = difflib.get_close_matches(name[:LONGEST_NAME], REFERENCE_POLICIES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise AgentError(
        f"--policy: expected a directory, a hub id, a file of rewrites, {ENDPOINT}MODEL, {BEST_OF}G:POLICY or one of "
        f"{', '.join(REFERENCE_POLICIES)}; {name[:80]!r} is none of them{hint}"
    )


def _best_of(name: str, request: Request) -> ResolvedPolicy | None:
    """The best of several samples of a policy, ``best-of:G:POLICY``."""
    if not name.startswith(BEST_OF):
        return None
    count, inner = parse_best_of(name)
    policy = open_policy(inner, request)
    if policy.temperature is None:
        raise AgentError(f"--policy {name[:80]}: expected a policy that samples, but {inner[:80]} does not")
    temperature = request.temperature or policy.temperature
    chosen_by = policy.trained_on.partition(",")[0] if policy.trained_on else request.retrievers[0]
    if chosen_by not in request.retrievers:
        recorded_retriever(chosen_by, source=Path(inner), option="--retrievers")
    seeds = draw_seeds(request.seed, 1 if policy.repeats else count)
    sources = [open_policy(inner, request._replace(temperature=temperature, seed=seed)) for seed in seeds]

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        update = share_of_progress(progress, count)
        times = count // len(sources)
        drawn = [source.write(task, list(ids) * times, list(prompts) * times, update) for source in sources]
        texts = [text for rewrites in drawn for text in rewrites.texts]
        draws = [texts[start : start + len(ids)] for start in range(0, len(texts), len(ids))]
        judge = RetrievalTask(task.data, chosen_by, **{setting: getattr(task, setting) for setting in SETTINGS})
        best, valued = choose(judge, ids, draws)
        notes = {key: value for key, value in drawn[0].notes.items() if key not in _OF_ONE_DRAW}
        said = remark(count, judge, chosen_by, policy.trained_on is not None, temperature, valued)
        return make_rewrites(name, request, task, ids, best, {**notes, "remark": said})

    return ResolvedPolicy(write, check=policy.check, made_for=policy.made_for, trained_on=policy.trained_on)


KINDS: tuple[Callable[[str, Request], ResolvedPolicy | None], ...] = (
    _best_of,
    resolve_reference,
    resolve_endpoint,
    resolve_file,
    resolve_stable_baselines,
    resolve_language_model,
)
"""The kinds of policies, in the order in which they are tried; the last takes any directory."""
