"""Explanation of an episode in turns: the credit of each phrase of each search, and what each search found."""

import math
from dataclasses import dataclass
from typing import Any

from ospo_agents.assignment import assign_credit, default_segmenter
from ospo_cli._explanation import Segment
from ospo_env import SearchTask
from ospo_env.rendering import title_line, titles
from ospo_env.text import clean_text
from ospo_env.turns.actions import episode_searches, turn_spans

__all__ = ["EpisodeExplanation", "ExplainedTurn", "explain_episode"]


@dataclass(frozen=True)
class ExplainedTurn:
    """A search of an episode.

    Attributes:
        search: Its text.
        worth: The metric of its own ranking.
        ranked: Documents that it matches.
        titles: Titles of the first of them.
        segments: Its phrases with their credit; their characters are those of the episode's text.
    """

    search: str
    worth: float
    ranked: int
    titles: tuple[str, ...]
    segments: tuple[Segment, ...]

    @property
    def total(self) -> float:
        """The sum of the credit of its phrases."""
        return math.fsum(segment.credit for segment in self.segments)


@dataclass(frozen=True)
class EpisodeExplanation:
    """Explanation of an episode of one prompt.

    Attributes:
        prompt_id: Id of the prompt.
        prompt: The text that an agent reads first.
        episode: The text of the episode.
        metric: Name of the metric.
        price: Price of a search.
        segmenter: Name of the segmenter.
        solution: Name of the solution of the game.
        players: Number of phrases that count, among which credit is divided.
        coalitions: Distinct subsets of the phrases that credit was computed from.
        turns: The searches that were played, in order.
        unplayed: Searches beyond the last turn, which do not count.
        reward: The reward of the episode: the best metric less the prices.
        best: The best metric.
    """

    prompt_id: str
    prompt: str
    episode: str
    metric: str
    price: float
    segmenter: str
    solution: str
    players: int
    coalitions: int
    turns: tuple[ExplainedTurn, ...]
    unplayed: int
    reward: float
    best: float

    @property
    def total(self) -> float:
        """The sum of all credit, which is the reward if the solution is efficient."""
        return math.fsum(turn.total for turn in self.turns)

    @property
    def efficient(self) -> bool:
        """Whether credit sums to the reward, up to rounding."""
        return math.isclose(self.total, self.reward, rel_tol=0.0, abs_tol=1e-9)


def explain_episode(
    task: SearchTask,
    prompt_id: str,
    episode: str,
    *,
    segmenter: str | None = None,
    solution: str | None = None,
    top: int = 5,
) -> EpisodeExplanation:
    """Credit of each phrase of an episode.

    Args:
        task: The task in turns.
        prompt_id: The prompt.
        episode: The text of the episode, a line for each search; lone surrogates become U+FFFD.
        segmenter: A name in ``ospo_agents.segments.SEGMENTERS``; None for phrases in turns.
        solution: A name in ``ospo_agents.credit.SOLUTIONS``; None for Owen values, whose unions are the turns.
        top: Titles of each ranking, whatever an agent was shown.

    Raises:
        AgentError: A name is unknown, or an exact solution needs too many coalitions.
        TaskError: The prompt is unknown, or segments do not lie within turns.
        RetrieverError: The retriever failed.
    """
    episode = clean_text(episode)
    about = task.query(prompt_id)
    (credited,) = assign_credit(
        task, [prompt_id], [episode], segmenter=segmenter, solution=solution, over_budget="raise"
    )
    searches = episode_searches(episode)
    played = task.search([prompt_id] * len(searches[: task.max_turns]), searches[: task.max_turns])
    rankings = [turn.outcome.ranking[:top] for turn in played]
    title_of = titles(task.data, list(dict.fromkeys(doc_id for doc_ids in rankings for doc_id in doc_ids)))
    errors: list[Any] = [None] * len(credited.spans)
    if credited.standard_error is not None:
        errors = [None if math.isnan(error) else error for error in credited.standard_error.tolist()]
    segments = [
        Segment(start, end, episode[start:end].removesuffix("\n"), credit, error)
        for (start, end), credit, error in zip(credited.spans, credited.credit.tolist(), errors, strict=True)
    ]
    turns = [
        ExplainedTurn(
            search=turn.search,
            worth=turn.outcome.reward,
            ranked=len(turn.outcome.ranking),
            titles=tuple(title_line(title_of[doc_id]) for doc_id in doc_ids),
            segments=tuple(segment for segment in segments if first <= segment.start < end),
        )
        for turn, doc_ids, (first, end) in zip(played, rankings, turn_spans(episode), strict=False)
    ]
    return EpisodeExplanation(
        prompt_id=prompt_id,
        prompt=dict(zip(*task.prompts(about.split), strict=True))[prompt_id],
        episode=episode,
        metric=task.metric,
        price=task.price,
        segmenter=segmenter or default_segmenter(in_turns=True),
        solution=credited.solution,
        players=credited.players,
        coalitions=credited.distinct_coalitions,
        turns=tuple(turns),
        unplayed=max(len(searches) - task.max_turns, 0),
        reward=float(task.rewards([prompt_id], [episode])[0]),
        best=float(task.metric_values([prompt_id], [episode])[0]),
    )
