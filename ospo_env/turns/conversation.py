"""A conversation with a search engine: what an agent has searched for, what it was shown, and how that reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ospo_env.outcomes import Outcome
from ospo_env.rendering import terminal_line
from ospo_env.turns.actions import episode_text, one_line, search_action

__all__ = ["NOTHING_FOUND", "Conversation", "Turn", "shown_titles"]

NOTHING_FOUND = "nothing found"
"""The line that stands for the titles of a search that matches nothing."""

_SHOWN_CHARACTERS = 200


class Turn(NamedTuple):
    """A search and what came of it.

    Attributes:
        search: The text of the search.
        titles: Titles of the documents ranked first, best first, as the agent reads them.
        outcome: Reward, ranking and metrics of the search by itself.
    """

    search: str
    titles: tuple[str, ...]
    outcome: Outcome


@dataclass
class Conversation:
    """The state of an episode.

    Attributes:
        prompt_id: Id of the prompt.
        prompt: Text of the prompt.
        turns: The searches so far.
        ended: Whether the agent has answered, or has no turn left.
    """

    prompt_id: str
    prompt: str
    turns: list[Turn] = field(default_factory=list)
    ended: bool = False

    @property
    def observation(self) -> str:
        """The conversation as the agent reads it: the prompt, then each search with its titles, a line each.

        Of a long search the first 200 characters are shown. Neither the prompt nor a title or a search can write a line
        of its own.

        >>> match, none = Outcome(1.0, ("d7",), {}, 0), Outcome(0.0, (), {}, 0)
        >>> print(Conversation("q1", "shoe", [Turn("red", ("Red shoe",), match), Turn("blue", (), none)]).observation)
        shoe
        search: red
        1. Red shoe
        search: blue
        nothing found
        """
        lines = [one_line(self.prompt)]
        for turn in self.turns:
            lines.append(_shown_search(turn.search))
            lines.extend(shown_titles(turn.titles, turn.outcome.ranking))
        return "\n".join(lines)

    @property
    def searches(self) -> list[str]:
        """The texts of the searches."""
        return [turn.search for turn in self.turns]

    @property
    def episode(self) -> str:
        """The text of the episode, a line for each search: the one that rewards and credit are for."""
        return episode_text(self.searches)


def _shown_search(search: str) -> str:
    """The line of a search."""
    line = terminal_line(search)
    return search_action(line if len(line) <= _SHOWN_CHARACTERS else line[:_SHOWN_CHARACTERS] + "\u2026")


def shown_titles(titles: Sequence[str], ranking: Sequence[str]) -> list[str]:
    """The lines below a search: its numbered titles, or one line where no document matches.

    Args:
        titles: Titles that are shown, best first; none where the task shows none.
        ranking: Ids of all documents that match.

    >>> shown_titles(["Red shoe"], ["d7", "d2"]), shown_titles([], ["d7", "d2"]), shown_titles([], [])
    (['1. Red shoe'], [], ['nothing found'])
    """
    return [f"{rank}. {title}" for rank, title in enumerate(titles, start=1)] if ranking else [NOTHING_FOUND]
