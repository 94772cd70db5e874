"""A run's report: reads runs and an evaluation, explains rewrites, writes the page."""

from argparse import Namespace
from collections.abc import Sequence

import numpy as np

from ospo_agents import AgentError
from ospo_cli._explanation import Explanation, explain
from ospo_cli._modes import modes_of
from ospo_cli._outputs import write_file
from ospo_cli._recorded import recorded_data, recorded_env, recorded_retriever
from ospo_cli._report.curves import learning_curves
from ospo_cli._report.evaluation import read_evaluation
from ospo_cli._report.page import render_page
from ospo_cli._report.runs import Run, read_runs, same_settings
from ospo_cli._tasks import first_split, open_task
from ospo_cli._terminal import say
from ospo_env import RetrievalTask

__all__ = ["write_report"]


def write_report(arguments: Namespace, command: str) -> None:
    """Read the runs, explain some rewrites, write the page.

    Args:
        arguments: As ``ospo report`` parses them.
        command: The command line, for the page.
    """
    runs = read_runs(arguments.run)
    groups = same_settings(runs)
    evaluation = None if arguments.evaluation is None else read_evaluation(arguments.evaluation, runs[0])
    task = _open_task(arguments, runs[0])
    ids, chosen = _choose(arguments, task)
    page = render_page(
        runs,
        learning_curves(groups),
        evaluation,
        _explained(runs[0], task, ids, arguments.solution),
        {
            "chosen": chosen,
            "retriever_fingerprint": task.retriever.fingerprint,
            "evaluation_file": arguments.evaluation,
            "command": command,
        },
    )
    write_file(arguments.out, page.encode())
    say(f"Wrote {arguments.out}: open it in a browser")


def _open_task(arguments: Namespace, first: Run) -> RetrievalTask:
    """The task that the run was trained on.

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
    data = arguments.data or recorded_data(recorded["data"], source=first.path)
    task = open_task(
        arguments.env or recorded_env(recorded["env"], source=first.path),
        data,
        split=None,
        retriever=arguments.retriever or recorded_retriever(recorded["retriever"], source=first.path),
        metric=recorded["metric"],
        max_words=recorded.get("max_words"),
        **modes_of(recorded),
    )
    if task.data.fingerprint != first.manifest["data_fingerprint"]:
        raise AgentError(
            f"{first.path} was trained on the data {first.manifest['data_fingerprint'][:16]}, but "
            f"{data or 'the embedded sample'} is {task.data.fingerprint[:16]}; name the data of the run with --data"
        )
    return task


def _choose(arguments: Namespace, task: RetrievalTask) -> tuple[list[str], str]:
    """Ids of the queries to show, and a sentence on how they were chosen."""
    if arguments.queries is not None:
        ids = list(dict.fromkeys(arguments.queries))
        for prompt_id in ids:
            task.query(prompt_id)  # an unknown one is told before the policy is opened
        return ids, f"{len(ids)} queries, chosen by hand."
    split = first_split(task)
    ids = task.prompts(split)[0]
    count = min(arguments.examples, len(ids))
    rows = np.random.default_rng(arguments.seed).choice(len(ids), size=count, replace=False)
    chosen = f"{count} of {len(ids)} {split} queries, drawn with seed {arguments.seed}."
    return [ids[row] for row in sorted(rows)], chosen


def _explained(first: Run, task: RetrievalTask, ids: Sequence[str], solution: str | None) -> list[Explanation]:
    """Explanations of the greedy rewrites of the run's policy, with the segments of its training."""
    from ospo_agents.policies.language_model import LanguageModelPolicy
    from ospo_agents.training.progress import quiet

    quiet()
    prompts = {
        prompt_id: prompt
        for split in dict.fromkeys(task.query(prompt_id).split for prompt_id in ids)
        for prompt_id, prompt in zip(*task.prompts(split), strict=True)
    }
    texts = LanguageModelPolicy.open(first.path / "policy")(ids, [prompts[prompt_id] for prompt_id in ids])
    segmenter = first.arguments["segmenter"] or "phrases"  # other learners have none
    return [
        explain(task, prompt_id, text, segmenter=segmenter, solution=solution)
        for prompt_id, text in zip(ids, texts, strict=True)
    ]
