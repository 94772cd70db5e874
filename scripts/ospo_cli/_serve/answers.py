"""Answers to rewrite requests, in batches: the policy writes, the task composes, an engine guards and credits."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from ospo_agents import assign_credit
from ospo_agents.assignment import content_seed
from ospo_cli._serve.one_by_one import one_by_one
from ospo_cli._serve.records import Answer, Phrase, Request
from ospo_cli._terminal import say_error
from ospo_env import RetrievalTask, RetrieverError, TaskError
from ospo_env.composition import Composition
from ospo_env.evaluation.free_queries import free_prompts, open_free_task
from ospo_env.evaluation.guard import Guard, top_overlaps

__all__ = ["Answers", "Policy", "Written", "in_words"]

Policy: TypeAlias = Callable[[Sequence[str], Sequence[str]], Sequence[str]]
"""From prompt ids and prompts, B of each, to B rewrites."""

Written: TypeAlias = tuple[Request, Answer]
"""A request and the answer to its plain form, which is the policy's rewrite."""


class Answers:
    """Functions from requests to answers: one that calls the policy, and one that calls the engine.

    Args:
        policy: Writes rewrites; an empty one stands for a completion without a rewrite.
        task: Its modes make the text that is sent; its retriever guards and credits.
        guard: The rule; None where no request may ask for one.
        calls: Bound on texts ranked for credit, as of :func:`ospo_agents.assign_credit`; None for no bound.
        report: Called with one line for each batch of which the engine failed some.

    Attributes:
        guard: As above.
    """

    def __init__(
        self,
        policy: Policy,
        task: RetrievalTask,
        guard: Guard | None = None,
        *,
        calls: int | None = None,
        report: Callable[[str], object] = say_error,
    ) -> None:
        self.guard = guard
        self._policy, self._task, self._report = policy, task, report
        self._composition = Composition(task.compose, task.query_weight, task.repeats)
        self._calls = calls

    def write(self, requests: Sequence[Request]) -> list[Answer]:
        """An answer to the plain form of each of B requests, by one call of the policy and none of an engine."""
        task = free_prompts(
            self._task, [request.query for request in requests], [request.history for request in requests]
        )
        ids, prompts = task.prompts("test")
        texts = list(self._policy(ids, prompts))
        return [
            Answer(text, sent) if sent.strip() and text.strip() else self.raw(request.plain, "blank")
            for request, text, sent in zip(requests, texts, task.sent(ids, texts), strict=True)
        ]

    def warm_up(self, query: str) -> None:
        """Make the first call of the policy and of the engine, which take longest.

        Raises:
            RetrieverError: The engine failed.
        """
        self.write([Request(query)])
        self._phrases([(Request(query), Answer(query, query))])

    def raw(self, request: Request, reason: str) -> Answer:
        """The answer that leaves the query as it is; nothing slow is called."""
        rewrite = "" if self._composition.appends else request.query
        phrases = () if request.phrases else None
        return Answer(rewrite, self._composition.raw(request.query), reason, phrases)

    def check(self, written: Sequence[Written], seconds: float = math.inf) -> list[Answer | Exception]:
        """The answers that requests ask for, from the rewrites that were written for them.

        A text that the engine refuses fails alone: a batch that fails is asked for again one by one.

        Args:
            written: Requests and rewrites of the policy.
            seconds: Time after which nothing is asked for again.

        Returns:
            For each request its answer: the raw query where the guard refuses the rewrite, or cannot compare it since
            the engine failed. Where the engine failed on phrases, the error.
        """
        end = time.monotonic() + seconds
        answers: list[Answer | Exception] = [answer for _, answer in written]
        guarded = [row for row, (request, _) in enumerate(written) if request.guard and self.guard is not None]
        kept = one_by_one(self._kept, [written[row] for row in guarded], end)
        for row, keep in zip(guarded, kept, strict=True):
            if isinstance(keep, RetrieverError):
                answers[row] = self.raw(written[row][0], "guard-error")
            elif isinstance(keep, Exception):
                answers[row] = keep
            elif not keep:
                answers[row] = self.raw(written[row][0], "guard")
        self._tell("the guard could not compare {} rewrites", kept)
        asking = [row for row, (request, answer) in enumerate(written) if request.phrases and answers[row] == answer]
        credited = one_by_one(self._phrases, [written[row] for row in asking], end)
        for row, phrases in zip(asking, credited, strict=True):
            answers[row] = phrases if isinstance(phrases, Exception) else replace(written[row][1], phrases=phrases)
        self._tell("no credit for the phrases of {} rewrites", credited)
        return answers

    def _kept(self, written: Sequence[Written]) -> list[bool]:
        """Whether the guard keeps each rewrite."""
        assert self.guard is not None
        task = free_prompts(self._task, [request.query for request, _ in written])
        overlaps = top_overlaps(task, task.prompts("test")[0], [answer.rewrite for _, answer in written])
        kept: list[bool] = self.guard.keeps(overlaps).tolist()
        return kept

    def _phrases(self, written: Sequence[Written]) -> list[tuple[Phrase, ...]]:
        """Phrases of each rewrite; none of one that matches no document.

        Coalitions are sampled by seeds from the query and the rewrite, so that a request's place in a batch changes
        nothing.
        """
        queries = [request.query for request, _ in written]
        texts = [answer.rewrite for _, answer in written]
        phrases: list[tuple[Phrase, ...]] = [()] * len(texts)
        try:
            free = open_free_task(self._task, queries, texts)
        except TaskError:  # no text matches a document
            return phrases
        credited = assign_credit(
            free.task,
            free.prompt_ids,
            [texts[place] for place in free.places],
            seeds=[content_seed(queries[place], texts[place]) for place in free.places],
            over_budget="sample",
            calls=self._calls,
        )
        for place, one in zip(free.places, credited, strict=True):
            shares = zip(one.spans, one.credit.tolist(), strict=True)
            phrases[place] = tuple(Phrase(start, end, texts[place][start:end], share) for (start, end), share in shares)
        return phrases

    def _tell(self, what: str, results: Sequence[object]) -> None:
        """Report a batch of which some failed, with the first error."""
        errors = [result for result in results if isinstance(result, Exception)]
        if errors:
            self._report(f"error: {what.format(len(errors))}: {in_words(errors[0])}")


def in_words(error: Exception) -> str:
    """An error in words: one of an engine names it, others are named by their type."""
    return str(error) if isinstance(error, RetrieverError) else f"{type(error).__name__}: {error}"
