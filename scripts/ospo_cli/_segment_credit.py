"""Credit of segments in the terms of ``ospo_env.integrations``, by the learner's one verb."""

from collections.abc import Callable, Sequence

from ospo_agents import assign_credit
from ospo_agents.credit import make_solution
from ospo_agents.segments import make_segmenter
from ospo_env import RetrievalTask
from ospo_env.integrations.sessions import SegmentCredit

__all__ = ["segment_credit"]


def segment_credit(
    task: RetrievalTask, segmenter: str | None = None, solution: str | None = None, calls: int | None = None
) -> Callable[[Sequence[str], Sequence[str]], list[list[SegmentCredit]]]:
    """A function from prompt ids and rewrites to the credit of each rewrite's segments.

    Args:
        task: Values subsets of the segments.
        segmenter: As of :func:`ospo_agents.assign_credit`, as are the next two.
        solution: Name of the solution.
        calls: Texts of a rewrite that the task scores at most.

    Raises:
        AgentError: A name is unknown.
    """
    if segmenter is not None:
        make_segmenter(segmenter)
    if solution is not None:
        make_solution(solution)

    def credit(prompt_ids: Sequence[str], texts: Sequence[str]) -> list[list[SegmentCredit]]:
        credited = assign_credit(
            task, prompt_ids, texts, segmenter=segmenter, solution=solution, over_budget="sample", calls=calls
        )
        return [
            [
                SegmentCredit(start, end, share)
                for (start, end), share in zip(text.spans, text.credit.tolist(), strict=True)
            ]
            for text in credited
        ]

    return credit
