"""The task as a taskset of verifiers: one prompt a task, whose reward is that of the rewrite in the last reply.

The place of a rewrite in a reply and credit belong to the learner, so that a taskset is made of both in a module of
one's own, which ``vf-eval`` finds by its name; ``examples/verifiers/ospo_rewrite.py`` is one. Each trace carries
``info["ospo"]``: the rewrite, its ranking, its metrics and its segments with their credit.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import gymnasium as gym
import verifiers.v1 as vf

from ospo_env.errors import TaskError
from ospo_env.integrations.sessions import Credit, Rewrite, SharedTask
from ospo_env.task import RetrievalTask

__all__ = ["RewriteConfig", "RewriteData", "rewrite_taskset"]

_SHOWN = 10


class RewriteConfig(vf.TasksetConfig):  # type: ignore[misc]  # verifiers may be absent where types are checked
    """Settings of the taskset, ``--env.taskset.*``: the environment, and arguments of its constructor."""

    env: str = "OSPO-ESCI-v0"
    data: str | None = None
    split: str = "test"
    retriever: str = "bm25"
    metric: str = "nDCG@10"
    compose: str = "replace"
    query_weight: int = 1
    repeats: str = "count"
    max_words: int | None = None


class RewriteData(vf.TaskData):  # type: ignore[misc]
    """A prompt, and the settings that open its task; ``id`` is the prompt's id."""

    ospo: dict[str, Any]


def rewrite_taskset(
    find_rewrite: Callable[[str], str | None],
    make_credit: Callable[[RetrievalTask], Credit] | None = None,
    instruction: str | None = None,
) -> type:
    """A taskset class of verifiers.

    Args:
        find_rewrite: From a reply to the rewrite in it, None where there is none, which earns 0.
        make_credit: From a task to the function that gives the credit of segments; None for no credit.
        instruction: The system prompt.
    """

    @lru_cache(8)
    def shared(settings: tuple[tuple[str, Any], ...]) -> SharedTask:
        task = _open_task(dict(settings))
        return SharedTask(task, None if make_credit is None else make_credit(task))

    class RewriteTask(vf.Task[RewriteData]):  # type: ignore[misc]
        """One prompt."""

        @vf.reward(weight=1.0)  # type: ignore[untyped-decorator]
        async def ranking(self, trace: vf.Trace) -> float:
            """The metric of the ranking that the rewrite gives; 0 without a rewrite."""
            text = find_rewrite(trace.last_reply or "")
            if text is None:
                return 0.0
            task = shared(tuple(sorted(self.data.ospo.items())))
            rewrite = task.check(Rewrite(str(self.data.id), text, make_credit is not None))
            outcome, segments = await task.batches(rewrite)
            trace.info["ospo"] = {
                "rewrite": text,
                "ranking": list(outcome.ranking[:_SHOWN]),
                "metrics": outcome.metrics,
                "words_beyond_cap": outcome.words_beyond_cap,
                "segments": [
                    {"text": text[start:end], "start": start, "end": end, "credit": credit}
                    for start, end, credit in segments
                ],
            }
            return float(outcome.reward)

        @vf.metric  # type: ignore[untyped-decorator]
        async def malformed(self, trace: vf.Trace) -> float:
            """Whether the last reply holds no rewrite."""
            return float(find_rewrite(trace.last_reply or "") is None)

    class RewriteTaskset(vf.Taskset[RewriteTask, RewriteConfig]):  # type: ignore[misc]
        """The prompts of a split."""

        def load(self) -> Iterator[RewriteTask]:
            """The prompts, in order."""
            config = self.config
            settings = {name: getattr(config, name) for name in _SETTINGS if getattr(config, name) is not None}
            ids, prompts = shared(tuple(sorted(settings.items()))).task.prompts(config.split)
            if not ids:
                raise TaskError(f"expected prompts in the split {config.split!r}, but it has none")
            for query_id, prompt in zip(ids, prompts, strict=True):
                data = RewriteData(id=query_id, prompt=prompt, system_prompt=instruction, ospo=settings)
                yield RewriteTask(data, config.task)

    return RewriteTaskset


_SETTINGS = ("env", "data", "retriever", "metric", "compose", "query_weight", "repeats", "max_words")


def _open_task(settings: dict[str, Any]) -> RetrievalTask:
    """The task of an environment id."""
    env_id = settings.pop("env")
    task = getattr(gym.make(f"ospo_env:{env_id}", **settings).unwrapped, "task", None)
    if not isinstance(task, RetrievalTask):
        raise TaskError(f"expected an environment of this project, for example OSPO-ESCI-v0; got {env_id!r}")
    return task
