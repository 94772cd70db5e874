"""Policies by the names that --policy takes: a table of kinds, of which the first that knows a name resolves it.

A kind is a function of a name and a request. It returns ``None`` for a name that is not its own, and otherwise a
resolved policy; a name that cannot be used is refused before anything slow starts. What depends on the prompts is
checked by the policy's ``check``. A new kind is one more function in :data:`KINDS`.
"""

import dataclasses
import difflib
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ospo_agents import AgentError
from ospo_cli._best_of import BEST_OF, choose, draw_seeds, parse_best_of, remark, share_of_progress
from ospo_cli._modes import MODES
from ospo_cli._recorded import recorded_retriever
from ospo_cli._rewrite_files import RewriteFile, open_rewrite_file
from ospo_cli._run_file import SETTINGS, policy_notes, sampling_temperature, task_settings
from ospo_cli._sb3 import is_sb3_policy, open_sb3_policy
from ospo_env import REFERENCE_POLICIES, RetrievalTask, Rewrites, make_reference_policy

__all__ = ["KINDS", "Request", "ResolvedPolicy", "open_policy", "settings_of"]

_ENDPOINT = "openai:"
_LONGEST_NAME = 1024


class Request(NamedTuple):
    """The task that rewrites are for, and the settings of decoding.

    Attributes:
        env: Environment id.
        data: Prepared directory; none means the embedded sample.
        split: The prompts' split.
        temperature: 0 decodes greedily, else samples.
        max_new_tokens: Bound on a completion; none means the policy's own.
        seed: Seed of sampling and of the random policy.
        encoder: Encoder of Stable-Baselines3 policies; None takes the one that they name, if a file may name it.
        retrievers: Names of the retrievers that rank, as the command line has them.
    """

    env: str
    data: Path | None
    split: str
    temperature: float
    max_new_tokens: int | None
    seed: int
    encoder: str | None = None
    retrievers: tuple[str, ...] = ("bm25",)


class Write(Protocol):
    """Function that writes or reads the rewrites of all prompts of a task."""

    def __call__(
        self, task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        """Rewrites of these prompts, in order; ``progress`` is called with the number of prompts just done."""
        ...


@dataclass(frozen=True)
class ResolvedPolicy:
    """A resolved policy, ready to write rewrites.

    Attributes:
        write: Writes them.
        reads_task: Whether the policy reads the task itself, so that it must be run once per retriever.
        check: Called with the task and the ids of all prompts before any policy writes; raises ``AgentError`` if the
            policy does not fit them.
        made_for: The settings of the task that it was trained on, or that its rewrites were written for, among
            ``max_words``, ``candidates``, ``metric`` and the modes; those that nobody recorded are absent.
        temperature: Temperature at which it is sampled where none is asked for; None for a policy that does not sample.
        repeats: Whether one call with a prompt several times samples a text for each.
        trained_on: Names of the retrievers that it was trained on, separated by commas; None where none is known.
        several: Whether it has several rewrites for a prompt; its value is their mean.
    """

    write: Write
    reads_task: bool = False
    check: Callable[[RetrievalTask, Sequence[str]], None] = lambda task, ids: None
    made_for: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    temperature: float | None = None
    repeats: bool = False
    trained_on: str | None = None
    several: bool = False


def open_policy(name: str, request: Request) -> ResolvedPolicy:
    """Resolve the name of a policy.

    Raises:
        AgentError: No kind knows the name, or what it names cannot be used.
    """
    for kind in KINDS:
        policy = kind(name, request)
        if policy is not None:
            return policy
    near = difflib.get_close_matches(name[:_LONGEST_NAME], REFERENCE_POLICIES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise AgentError(
        f"--policy: expected a directory, a hub id, a file of rewrites, {_ENDPOINT}MODEL, {BEST_OF}G:POLICY or one of "
        f"{', '.join(REFERENCE_POLICIES)}; {name[:80]!r} is none of them{hint}"
    )


def settings_of(arguments: Namespace, policies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Settings of the task: as the command line asks, else as the policies were made for, else the usual ones.

    Args:
        arguments: Arguments with a name for each setting, None where the command line says nothing.
        policies: By policy, the settings that it was made for.

    Raises:
        AgentError: The command line says nothing, and the policies were made for different ones.
    """
    settings: dict[str, Any] = {}
    for name, usual in {"max_words": None, "candidates": "pool", "metric": "nDCG@10", **MODES}.items():
        made_for = {policy: own[name] for policy, own in policies.items() if name in own}
        settings[name] = getattr(arguments, name)
        if settings[name] is None:
            if len(set(made_for.values())) > 1:
                option = f"--{name.replace('_', '-')}"
                listed = ", ".join(f"{policy} for {value}" for policy, value in made_for.items())
                raise AgentError(f"{option}: the policies were made for different ones ({listed}); name one of them")
            settings[name] = next(iter(made_for.values()), usual)
    if arguments.compose == MODES["compose"] and arguments.query_weight is None:
        settings["query_weight"] = MODES["query_weight"]  # that of policies made for another mode means nothing here
    return settings


def _reference(name: str, request: Request) -> ResolvedPolicy | None:
    """A reference policy of the task."""
    if name not in REFERENCE_POLICIES:
        return None

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        texts = make_reference_policy(name, task, request.seed)(ids, prompts)
        progress(len(ids))
        return _rewrites(name, request, task, ids, texts)

    return ResolvedPolicy(write, reads_task=True, temperature=1.0 if name == "random" else None)


def _endpoint(name: str, request: Request) -> ResolvedPolicy | None:
    """A model behind an OpenAI-compatible endpoint, ``openai:MODEL``."""
    if not name.startswith(_ENDPOINT):
        return None
    from ospo_agents.policies.endpoint import EndpointPolicy

    policy = EndpointPolicy(
        name.removeprefix(_ENDPOINT),
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
        return _rewrites(name, request, task, ids, texts, notes)

    return ResolvedPolicy(write, temperature=1.0)


def _file(name: str, request: Request) -> ResolvedPolicy | None:
    """A file of rewrites: stored ones, or another program's table."""
    if not _exists(name) or not Path(name).is_file():
        return None
    file = open_rewrite_file(Path(name))
    return _stored(file, file.content, request) if isinstance(file.content, Rewrites) else _foreign(file, request)


def _stored(file: RewriteFile, stored: Rewrites, request: Request) -> ResolvedPolicy:
    """Rewrites that this project stored, one for each prompt of the split."""

    def check(task: RetrievalTask, ids: Sequence[str]) -> None:
        file.check_data(task)
        if list(dict.fromkeys(stored.prompt_ids)) != list(ids):
            raise AgentError(
                f"{file.path}: expected rewrites of the {len(ids)} prompts of --split {request.split}, in order"
            )

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        progress(len(ids))
        return stored

    return ResolvedPolicy(write, check=check, made_for=stored.settings, several=file.several)


def _foreign(file: RewriteFile, request: Request) -> ResolvedPolicy:
    """Rewrites of another program, for some or all prompts of the split, one or several each."""

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        prompt_ids, texts, remark = file.complete(task, request.split, ids)
        progress(len(ids))
        return _rewrites(str(file.path), request, task, prompt_ids, texts, {"remark": remark} if remark else None)

    return ResolvedPolicy(
        write,
        check=lambda task, ids: file.check(task, request.split),
        made_for=file.made_for(request.env),
        several=file.several,
    )


def _stable_baselines(name: str, request: Request) -> ResolvedPolicy | None:
    """A run of ``ospo train-sb3``, or its policy directory."""
    where = next((path for path in (Path(name), Path(name) / "policy") if _exists(name) and is_sb3_policy(path)), None)
    if where is None:
        return None
    if request.temperature > 0:
        raise AgentError(f"--temperature: {name} is of Stable-Baselines3 and takes its best action; leave it at 0")

    def write(
        task: RetrievalTask, ids: Sequence[str], prompts: Sequence[str], progress: Callable[[int], object]
    ) -> Rewrites:
        texts = open_sb3_policy(where, task, encoder=request.encoder)(ids, prompts)
        progress(len(ids))
        return _rewrites(name, request, task, ids, texts, policy_notes(where.resolve()))

    return ResolvedPolicy(write, made_for=task_settings(where.resolve()))


def _language_model(name: str, request: Request) -> ResolvedPolicy | None:
    """A run, a policy directory, any causal LM's directory, or a hub id with a slash."""
    if not _exists(name) and (len(name) > _LONGEST_NAME or "/" not in name):
        return None
    from ospo_agents.policies import language_model as lm_policy

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
        return _rewrites(name, request, task, ids, texts, {**policy_notes(where), "malformed": policy.malformed})

    return ResolvedPolicy(
        write,
        made_for=task_settings(where),
        temperature=sampling_temperature(where),
        repeats=True,
        trained_on=policy_notes(where).get("trained_on"),
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
        notes = {key: value for key, value in drawn[0].notes.items() if key != "malformed"}
        said = remark(count, judge, chosen_by, policy.trained_on is not None, temperature, valued)
        return _rewrites(name, request, task, ids, best, {**notes, "remark": said})

    return ResolvedPolicy(write, check=policy.check, made_for=policy.made_for, trained_on=policy.trained_on)


KINDS: tuple[Callable[[str, Request], ResolvedPolicy | None], ...] = (
    _best_of,
    _reference,
    _endpoint,
    _file,
    _stable_baselines,
    _language_model,
)
"""The kinds of policies, in the order in which they are tried; the last takes any directory."""


def _rewrites(
    name: str,
    request: Request,
    task: RetrievalTask,
    ids: Sequence[str],
    texts: Sequence[str],
    notes: dict[str, Any] | None = None,
) -> Rewrites:
    return Rewrites(
        request.env,
        None if request.data is None else str(request.data),
        task.data.fingerprint,
        name,
        tuple(ids),
        tuple(texts),
        notes or {},
        max_words=task.max_words,
        candidates=task.candidates,
        metric=task.metric,
        compose=task.compose,
        query_weight=task.query_weight,
        repeats=task.repeats,
    )


def _exists(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and Path(name).exists()
