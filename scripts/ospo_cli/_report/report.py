"""A run's report: reads runs and an evaluation, explains rewrites, writes the page."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ospo_agents import AgentError
from ospo_agents.calls import training_calls
from ospo_agents.policies.digests import policy_digest
from ospo_cli._explanation import explain
from ospo_cli._modes import modes_of
from ospo_cli._outputs import write_file
from ospo_cli._recorded import recorded_data, recorded_env, recorded_retriever
from ospo_cli._report.curves import learning_curves
from ospo_cli._report.evaluation import read_evaluation
from ospo_cli._report.headline import find_policy
from ospo_cli._report.held_out import HeldOut, measure_held_out, segmenter_of
from ospo_cli._report.page import make_card, render_page
from ospo_cli._report.queries import choose_queries
from ospo_cli._report.runs import Run, read_runs, same_settings
from ospo_cli._tasks import first_split, open_task
from ospo_cli._terminal import say
from ospo_env import RetrievalTask

__all__ = ["write_report"]


class _Chosen(NamedTuple):
    """Queries to show.

    Attributes:
        kinds: Id of each query -> ``best``, ``median``, ``worst``, or nothing where queries were chosen otherwise.
        words: A sentence on how they were chosen.
    """

    kinds: dict[str, str]
    words: str


def write_report(arguments: Namespace, command: str) -> None:
    """Read the runs, explain some rewrites, write the page.

    Args:
        arguments: As ``ospo report`` parses them.
        command: The command line, for the page.
    """
    runs = read_runs(arguments.run)
    groups = same_settings(runs)
    evaluation = None if arguments.evaluation is None else read_evaluation(arguments.evaluation, runs[0])
    task = _open_task(arguments, runs[0], evaluation)
    digest = policy_digest(runs[0].path / "policy")
    match = None if evaluation is None else find_policy(evaluation, runs[0].path, digest)
    held_out = None
    if evaluation is not None and match is not None:
        held_out = measure_held_out(evaluation, match.name, runs[0], task, arguments.solution)
    chosen = _choose(arguments, task, held_out)
    texts = _texts(runs[0], task, list(chosen.kinds), held_out)
    how: dict[str, Any] = {"segmenter": segmenter_of(runs[0]), "solution": arguments.solution}
    how["calls"] = training_calls(task, None) or None
    cards = [
        make_card(explain(task, prompt_id, texts[prompt_id], **how), kind) for prompt_id, kind in chosen.kinds.items()
    ]
    page = render_page(
        runs,
        learning_curves(groups),
        evaluation,
        held_out,
        cards,
        {
            "chosen": chosen.words,
            "metric": task.metric,
            "compose": task.compose,
            "retriever_fingerprint": task.retriever.fingerprint,
            "matched_by_name": match is not None and not match.is_checked,
            "evaluation_file": arguments.evaluation,
            "command": command,
        },
    )
    write_file(arguments.out, page.encode())
    say(f"Wrote {arguments.out}: open it in a browser")


def _open_task(arguments: Namespace, first: Run, evaluation: Mapping[str, Any] | None) -> RetrievalTask:
    """The task that the run was trained on, with the metric, the candidates and the text to send of the evaluation.

    What its ``run.json`` names is opened only where a file may choose it; the command line may repeat the rest.

    Raises:
        AgentError: Its data have changed, the command line names another task than the run, or the run's environment or
            retriever may not be chosen by a file.
    """
    recorded = first.arguments
    for name in ("env", "retriever"):
        value = getattr(arguments, name)
        if value not in (None, recorded[name]):
            raise AgentError(f"--{name}: {first.path} was trained with {recorded[name]}, got {value}")
    settings = recorded if evaluation is None else evaluation
    data = arguments.data or recorded_data(recorded["data"], source=first.path)
    task = open_task(
        arguments.env or recorded_env(recorded["env"], source=first.path),
        data,
        split=None,
        retriever=arguments.retriever or recorded_retriever(recorded["retriever"], source=first.path),
        metric=settings["metric"],
        candidates=settings.get("candidates", "pool"),
        max_words=settings.get("max_words", recorded.get("max_words")),
        **modes_of(settings),
    )
    if task.data.fingerprint != first.manifest["data_fingerprint"]:
        raise AgentError(
            f"{first.path} was trained on the data {first.manifest['data_fingerprint'][:16]}, but "
            f"{data or 'the embedded sample'} is {task.data.fingerprint[:16]}; name the data of the run with --data"
        )
    return task


def _choose(arguments: Namespace, task: RetrievalTask, held_out: HeldOut | None) -> _Chosen:
    """The queries to show: those that are asked for, else those of the evaluation's ends and middle, else drawn."""
    if arguments.queries is not None:
        for prompt_id in arguments.queries:
            task.query(prompt_id)  # an unknown one is told before the policy is opened
        kinds = dict.fromkeys(arguments.queries, "")
        return _Chosen(kinds, f"{len(kinds)} queries, chosen by hand.")
    if held_out is not None and held_out.queries is not None:
        ids, gains = held_out.queries.ids, held_out.queries.gains
        kinds = {ids[row]: kind for row, kind in choose_queries(gains, arguments.examples).items()}
        return _Chosen(kinds, f"The best, the median and the worst of {len(ids)} queries by their gain.")
    split = first_split(task)
    ids = task.prompts(split)[0]
    count = min(arguments.examples, len(ids))
    rows = np.random.default_rng(arguments.seed).choice(len(ids), size=count, replace=False)
    words = f"{count} of {len(ids)} {split} queries, drawn with seed {arguments.seed}."
    return _Chosen({ids[row]: "" for row in sorted(rows)}, words)


def _texts(first: Run, task: RetrievalTask, ids: Sequence[str], held_out: HeldOut | None) -> dict[str, str]:
    """Rewrites of queries: those of the evaluation; of other queries the policy writes some, greedily."""
    stored: dict[str, str] = {}
    if held_out is not None and held_out.queries is not None:
        stored = dict(zip(held_out.queries.ids, held_out.queries.texts, strict=True))
    missing = [prompt_id for prompt_id in ids if prompt_id not in stored]
    if not missing:
        return stored
    from ospo_agents.policies.language_model import LanguageModelPolicy
    from ospo_agents.training.progress import quiet

    quiet()
    prompts = {
        prompt_id: prompt
        for split in dict.fromkeys(task.query(prompt_id).split for prompt_id in missing)
        for prompt_id, prompt in zip(*task.prompts(split), strict=True)
    }
    texts = LanguageModelPolicy.open(first.path / "policy")(missing, [prompts[prompt_id] for prompt_id in missing])
    return {**stored, **dict(zip(missing, texts, strict=True))}
