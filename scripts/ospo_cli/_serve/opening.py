"""The service of a command line: its policy and its task, those of a run unless the command line names others."""

from argparse import Namespace
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from cachetools import TTLCache
from fastapi import FastAPI

from ospo_agents import AgentError
from ospo_cli._modes import MODES
from ospo_cli._policies import settings_of
from ospo_cli._recorded import recorded_data, recorded_env, recorded_retriever
from ospo_cli._run_file import policy_notes, run_arguments, task_settings
from ospo_cli._serve.answers import Answers, Policy
from ospo_cli._serve.app import make_app
from ospo_cli._serve.metrics import Metrics
from ospo_cli._serve.records import Answer, Request
from ospo_cli._serve.service import Service
from ospo_cli._tasks import open_task
from ospo_env import RetrievalTask
from ospo_env.evaluation.guard import Guard

__all__ = ["open_app"]


def open_app(arguments: Namespace) -> FastAPI:
    """The application that a command line asks for, with a policy that has written once.

    Args:
        arguments: As ``ospo serve`` parses them.

    Raises:
        AgentError: The policy cannot be opened, or its run names what a file may not choose.
        TaskError: The task cannot be opened.
        RetrieverError: The engine does not answer.
    """
    from ospo_agents.policies.language_model import find_policy

    where = find_policy(arguments.policy)
    task = _open_task(arguments, where)
    answers = Answers(
        _open_policy(arguments, where),
        task,
        None if arguments.guard is None else Guard(arguments.guard),
        calls=arguments.calls,
    )
    ids, _ = task.prompts(next(split for split in ("test", "validation", "train") if task.prompts(split)[0]))
    answers.warm_up(task.query(ids[0]).query)
    cache: MutableMapping[Request, Answer] | None = None
    if arguments.cache:
        cache = TTLCache(arguments.cache, arguments.cache_seconds)
    service = Service(answers, Metrics(), timeout=arguments.timeout, most=arguments.batch, cache=cache)
    return make_app(service, _facts(arguments, where, task), longest=arguments.longest)


def _open_policy(arguments: Namespace, where: Path | str) -> Policy:
    from ospo_agents.policies.language_model import LanguageModelPolicy
    from ospo_agents.training.progress import quiet

    quiet()
    return LanguageModelPolicy.open(where, max_new_tokens=arguments.max_new_tokens, batch_size=arguments.batch)


def _open_task(arguments: Namespace, where: Path | str) -> RetrievalTask:
    """The task of the policy's run, but for what the command line names."""
    recorded = run_arguments(where) or {}
    if not recorded and arguments.env is None:
        raise AgentError(
            f"--env: expected an environment id, such as OSPO-ESCI-v0, since {arguments.policy} lies in no run"
        )
    source = Path(where).parent
    env = arguments.env or recorded_env(recorded.get("env"), source=source)
    data = arguments.data or recorded_data(recorded.get("data"), source=source)
    retriever = arguments.retriever
    if retriever is None:
        retriever = recorded_retriever(recorded.get("retriever", "bm25"), source=source)
    wanted = Namespace(**{**vars(arguments), "candidates": None, "metric": None})
    settings = settings_of(wanted, {arguments.policy: task_settings(where)})
    return open_task(env, data, split=None, retriever=retriever, **settings)


def _facts(arguments: Namespace, where: Path | str, task: RetrievalTask) -> dict[str, Any]:
    return {
        "policy": arguments.policy,
        **policy_notes(where),
        "retriever": task.retriever.name,
        "dataset": task.data.manifest["dataset"],
        "max_words": task.max_words,
        **{name: getattr(task, name) for name in MODES},
        "guard": arguments.guard,
        "timeout": arguments.timeout,
        "batch": arguments.batch,
        "cache": arguments.cache,
        "longest": arguments.longest,
    }
