"""Actions of an agent that searches in turns, and the text of an episode, which has a line for each search."""

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise

__all__ = ["ANSWER", "episode_searches", "episode_text", "one_line", "read_action", "search_action", "turn_spans"]

ANSWER = "answer"
"""The action that ends an episode."""

_SEARCH = re.compile(r"\s*search: ?", re.IGNORECASE)
_LINE_BREAK = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def read_action(action: str) -> str | None:
    """The text that an action searches for; ``None`` for the answer, which ends the episode.

    ``search: TEXT`` searches for TEXT, and ``answer`` alone, in any case, ends. Every other text is a search for
    itself, so that no action is wrong and a policy of one-step tasks can act. Line breaks are read as spaces.

    Args:
        action: Any text.

    >>> read_action("search: red shoes"), read_action("red shoes"), read_action("search: answer")
    ('red shoes', 'red shoes', 'answer')
    >>> read_action(" Answer ") is None
    True
    """
    if action.strip().casefold() == ANSWER:
        return None
    prefix = _SEARCH.match(action)
    return one_line(action[prefix.end() :] if prefix else action)


def one_line(text: str) -> str:
    r"""A text with spaces in the place of line breaks, as a search or a prompt stands in a conversation.

    >>> one_line("red\nshoes")
    'red shoes'
    """
    return _LINE_BREAK.sub(" ", text)


def search_action(search: str) -> str:
    """The action that searches for a text.

    >>> read_action(search_action("answer"))
    'answer'
    """
    return f"search: {search}"


def episode_text(searches: Sequence[str]) -> str:
    r"""The text of an episode: its searches in order, each on a line of its own that a line break ends.

    Args:
        searches: Texts without line breaks, as :func:`read_action` gives them.

    >>> episode_text(["red shoes", "crimson sneakers"])
    'red shoes\ncrimson sneakers\n'
    """
    return "".join(f"{search}\n" for search in searches)


def turn_spans(episode: str) -> list[tuple[int, int]]:
    r"""Character spans of the turns of an episode's text, which tile it: lines with the line breaks that end them.

    A line break ends a turn, so that two in a row have a search for the empty text between them; the last turn needs
    none.

    >>> turn_spans("red shoes\ncrimson"), turn_spans("\n"), turn_spans("")
    ([(0, 10), (10, 17)], [(0, 1)], [])
    """
    ends = accumulate((len(line) for line in re.findall("[^\n]*\n|[^\n]+", episode)), initial=0)
    return list(pairwise(ends))


def episode_searches(episode: str) -> list[str]:
    r"""The searches of an episode's text, in order.

    >>> episode_searches("red shoes\n\ncrimson")
    ['red shoes', '', 'crimson']
    """
    return [episode[start:end].removesuffix("\n") for start, end in turn_spans(episode)]
