"""Answers to rewrite requests, in batches: the policy writes, the task composes, an engine guards and credits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from ospo_agents.integrations.segment_credit import segment_credit
from ospo_cli._terminal import say_error
from ospo_env import RetrievalTask, RetrieverError, TaskError
from ospo_env.composition import Composition
from ospo_env.evaluation.free_queries import free_prompts, open_free_task
from ospo_env.evaluation.guard import Guard, top_overlaps

__all__ = ["Answer", "Answers", "Phrase", "Policy", "Request"]

Policy: TypeAlias = Callable[[Sequence[str], Sequence[str]], Sequence[str]]
"""From prompt ids and prompts, B of each, to B rewrites."""

SegmentCredit: TypeAlias = Callable[[Sequence[str], Sequence[str]], Sequence[Sequence[tuple[int, int, float]]]]
"""From prompt ids and rewrites to the start, end and credit of each rewrite's segments."""


class Request(NamedTuple):
    """A request: all that an answer depends on, so that it is the key of a cache.

    Attributes:
        query: Text that the shopper typed, not blank, without lone surrogates.
        history: Earlier purchases, oldest first.
        guard: Whether the rewrite is to be compared with the raw query.
        phrases: Whether credit of the rewrite's phrases is asked for.
    """

    query: str
    history: tuple[str, ...] = ()
    guard: bool = False
    phrases: bool = False


class Phrase(NamedTuple):
    """A segment of a rewrite.

    Attributes:
        start: Its first character.
        end: The character after its last.
        text: Its characters.
        credit: Its part in causing the ranking, as in :mod:`ospo_env.evaluation.free_queries`.
    """

    start: int
    end: int
    text: str
    credit: float


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        rewrite: The rewrite that is served; that of the raw query where ``reason`` says why.
        sent: Text for the engine: what training sent for that rewrite.
        reason: None for the policy's rewrite. The raw query is served because the guard says so (``guard``), because
            the engine failed when the guard asked it (``guard-error``), because the policy wrote nothing (``blank``),
            or because it was too slow (``timeout``).
        phrases: Credit of the rewrite's phrases if the request asked for it; none of a raw query.
    """

    rewrite: str
    sent: str
    reason: str | None = None
    phrases: tuple[Phrase, ...] | None = None


class Answers:
    """A function from requests to answers, with one call of the policy a batch.

    Args:
        policy: Writes rewrites; an empty one stands for a completion without a rewrite.
        task: Its modes make the text that is sent; its retriever guards and credits.
        guard: The rule; None where no request may ask for one.
        calls: Texts of a rewrite that are ranked for credit, at most; None for no bound.
        report: Called with one line for each failure of the engine.

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

    def __call__(self, requests: Sequence[Request]) -> list[Answer | Exception]:
        """An answer to each of B requests; where its engine failed on phrases, the error."""
        task = free_prompts(
            self._task, [request.query for request in requests], [request.history for request in requests]
        )
        ids, prompts = task.prompts("test")
        texts = list(self._policy(ids, prompts))
        answers = [
            Answer(text, sent) if sent.strip() and text.strip() else self.raw(request, "blank")
            for request, text, sent in zip(requests, texts, task.sent(ids, texts), strict=True)
        ]
        self._guard(requests, answers, task, ids)
        return self._with_phrases(requests, answers)

    def raw(self, request: Request, reason: str) -> Answer:
        """The answer that leaves the query as it is; nothing slow is called."""
        rewrite = "" if self._composition.appends else request.query
        phrases = () if request.phrases else None
        return Answer(rewrite, self._composition.raw(request.query), reason, phrases)

    def _guard(
        self, requests: Sequence[Request], answers: list[Answer], task: RetrievalTask, ids: Sequence[str]
    ) -> None:
        """Put the raw query where the guard refuses a rewrite, or cannot compare it since the engine failed."""
        rows = [row for row, request in enumerate(requests) if request.guard and answers[row].reason is None]
        if not rows or self.guard is None:
            return
        try:
            overlaps = top_overlaps(task, [ids[row] for row in rows], [answers[row].rewrite for row in rows])
        except RetrieverError as error:
            self._report(f"error: the guard could not compare {len(rows)} rewrites: {error}")
            refused, reason = rows, "guard-error"
        else:
            kept = self.guard.keeps(overlaps).tolist()
            refused, reason = [row for row, keep in zip(rows, kept, strict=True) if not keep], "guard"
        for row in refused:
            answers[row] = self.raw(requests[row], reason)

    def _with_phrases(self, requests: Sequence[Request], answers: Sequence[Answer]) -> list[Answer | Exception]:
        """The answers, with phrases where they are asked for."""
        credited: list[Answer | Exception] = list(answers)
        rows = [row for row, request in enumerate(requests) if request.phrases and answers[row].reason is None]
        for row in rows:
            credited[row] = replace(answers[row], phrases=())  # of a text that matches nothing
        if rows:
            try:
                for row, phrases in self._phrases(rows, requests, answers):
                    credited[row] = replace(answers[row], phrases=phrases)
            except RetrieverError as error:
                self._report(f"error: no credit for the phrases of {len(rows)} rewrites: {error}")
                for row in rows:
                    credited[row] = error
        return credited

    def _phrases(
        self, rows: Sequence[int], requests: Sequence[Request], answers: Sequence[Answer]
    ) -> list[tuple[int, tuple[Phrase, ...]]]:
        """Phrases of those answers, of some rows, whose texts match a document."""
        texts = [answers[row].rewrite for row in rows]
        try:
            free = open_free_task(self._task, [requests[row].query for row in rows], texts)
        except TaskError:  # no text matches a document
            return []
        kept = [texts[place] for place in free.places]
        credit: SegmentCredit = segment_credit(free.task, calls=self._calls)
        return [
            (rows[place], tuple(Phrase(start, end, text[start:end], share) for start, end, share in segments))
            for place, text, segments in zip(free.places, kept, credit(free.prompt_ids, kept), strict=True)
        ]
