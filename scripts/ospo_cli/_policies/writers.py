"""Policies that write their rewrites: references of the task, and models here or behind an endpoint."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._policies.resolved import LONGEST_NAME, Request, ResolvedPolicy, exists, make_rewrites
from ospo_cli._run_file import policy_notes, sampling_temperature, task_settings
from ospo_cli._sb3 import is_sb3_policy, open_sb3_policy
from ospo_env import REFERENCE_POLICIES, RetrievalTask, Rewrites, make_reference_policy

__all__ = ["ENDPOINT", "resolve_endpoint", "resolve_language_model", "resolve_reference", "resolve_stable_baselines"]

ENDPOINT = "openai:"


def resolve_reference(name: str, request: Request) -> ResolvedPolicy | None:
    """A reference policy of the task."""
    if name not in REFERENCE_POLICIES:
        return None

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        texts = make_reference_policy(name, task, request.seed)(ids, prompts)
        progress(len(ids))
        return make_rewrites(name, request, task, ids, texts)

    return ResolvedPolicy(write, reads_task=True, temperature=1.0 if name == "random" else None)


def resolve_endpoint(name: str, request: Request) -> ResolvedPolicy | None:
    """A model behind an OpenAI-compatible endpoint, ``openai:MODEL``."""
    if not name.startswith(ENDPOINT):
        return None
    from ospo_agents.policies.endpoint import EndpointPolicy

    policy = EndpointPolicy(
        name.removeprefix(ENDPOINT),
        temperature=request.temperature,
        max_tokens=request.max_new_tokens,
        seed=request.seed if request.temperature > 0 else None,  # some endpoints refuse one
    )

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        policy.progress = progress
        texts = policy(ids, prompts)
        notes = {"endpoint": policy.endpoint, "malformed": policy.malformed}
        return make_rewrites(name, request, task, ids, texts, notes)

    return ResolvedPolicy(write, temperature=1.0)


def resolve_stable_baselines(name: str, request: Request) -> ResolvedPolicy | None:
    """A run of ``ospo train-sb3``, or its policy directory."""
    where = next((path for path in (Path(name), Path(name) / "policy") if exists(name) and is_sb3_policy(path)), None)
    if where is None:
        return None
    if request.temperature > 0:
        raise AgentError(f"--temperature: {name} is of Stable-Baselines3 and takes its best action; leave it at 0")

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        texts = open_sb3_policy(where, task, encoder=request.encoder)(ids, prompts)
        progress(len(ids))
        return make_rewrites(name, request, task, ids, texts, policy_notes(where.resolve()))

    return ResolvedPolicy(write, made_for=task_settings(where.resolve()))


def resolve_language_model(name: str, request: Request) -> ResolvedPolicy | None:
    """A run, a policy directory, any causal LM's directory, or a hub id with a slash."""
    if not exists(name) and (len(name) > LONGEST_NAME or "/" not in name):
        return None
    from ospo_agents.policies import language_model as lm_policy
    from ospo_agents.policies.digests import policy_digest

    where = lm_policy.find_policy(name)

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        from ospo_agents.training.progress import quiet

        quiet()
        policy = lm_policy.LanguageModelPolicy.open(
            where,
            max_new_tokens=request.max_new_tokens,
            temperature=request.temperature,
            seed=request.seed,
            progress=progress,
        )
        texts = policy(ids, prompts)
        notes = {**policy_notes(where), "malformed": policy.malformed, "completions_cut": policy.cut}
        if (digest := policy_digest(where)) is not None:
            notes["policy_digest"] = digest
        return make_rewrites(name, request, task, ids, texts, notes)

    return ResolvedPolicy(
        write,
        made_for=task_settings(where),
        temperature=sampling_temperature(where),
        repeats=True,
        trained_on=policy_notes(where).get("trained_on"),
    )
