"""Credit of the segments of rewrites as plain numbers, for servers and tasksets that show it."""

from collections.abc import Callable, Sequence

from ospo_agents.assignment import assign_credit
from ospo_agents.credit import make_solution
from ospo_agents.protocols import CoalitionTask
from ospo_agents.segments import make_segmenter

__all__ = ["segment_credit"]


def segment_credit(
    task: CoalitionTask, segmenter: str | None = None, solution: str | None = None, calls: int | None = None
) -> Callable[[Sequence[str], Sequence[str]], list[list[tuple[int, int, float]]]]:
    """A function from prompt ids and rewrites to the credit of each rewrite's segments, in one call of the task.

    Args:
        task: Values subsets of the segments.
        segmenter: As of :func:`ospo_agents.assign_credit`, as are the next two.
        solution: Name of the solution.
        calls: Texts of a rewrite that the task scores at most.

    Returns:
        A function to a list for each rewrite, of a segment's first character, the one after its last, and its credit.

    Raises:
        AgentError: A name is unknown.
    """
    if segmenter is not None:
        make_segmenter(segmenter)
    if solution is not None:
        make_solution(solution)

    def credit(prompt_ids: Sequence[str], texts: Sequence[str]) -> list[list[tuple[int, int, float]]]:
        credited = assign_credit(
            task, prompt_ids, texts, segmenter=segmenter, solution=solution, over_budget="sample", calls=calls
        )
        return [
            [(start, end, share) for (start, end), share in zip(text.spans, text.credit.tolist(), strict=True)]
            for text in credited
        ]

    return credit
