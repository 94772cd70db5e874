"""Agents that search in turns, and the episodes that they play, many at once."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from ospo_env.errors import TaskError
from ospo_env.spaces import FreeText, check_action
from ospo_env.text import tokens
from ospo_env.turns.actions import ANSWER, read_action, search_action
from ospo_env.turns.conversation import NOTHING_FOUND, Conversation
from ospo_env.turns.task import SearchTask

__all__ = ["AGENTS", "SearchAgent", "feedback_agent", "one_search_agent", "play_episodes"]

SearchAgent: TypeAlias = Callable[[Sequence[str]], Sequence[str]]
"""A function from B conversations, as environments show them, to B actions."""

_WORDS = 4
_ACTIONS = FreeText()


def play_episodes(
    task: SearchTask, prompt_ids: Sequence[str], prompts: Sequence[str], agent: SearchAgent
) -> list[Conversation]:
    """Episodes of an agent, with one call of the agent and one of the retriever a turn.

    Args:
        task: The task.
        prompt_ids: B ids; one may stand several times.
        prompts: Their texts.
        agent: The agent.

    Returns:
        B conversations that have ended. ``task.rewards`` of their ids and ``episode`` texts are their rewards.

    Raises:
        TypeError: An action is not a string.
        TaskError: The agent does not give one action a conversation, or an action is longer than environments allow.
        RetrieverError: The retriever failed.
    """
    conversations = [Conversation(prompt_id, prompt) for prompt_id, prompt in zip(prompt_ids, prompts, strict=True)]
    running = conversations
    while running:
        actions = agent([conversation.observation for conversation in running])
        if len(actions) != len(running):
            raise TaskError(f"expected one action a conversation; got {len(actions)} for {len(running)}")
        searches = [read_action(check_action(action, _ACTIONS)) for action in actions]
        made = [(one, search) for one, search in zip(running, searches, strict=True) if search is not None]
        turns = task.search([one.prompt_id for one, _ in made], [search for _, search in made])
        for (conversation, _), turn in zip(made, turns, strict=True):
            conversation.turns.append(turn)
            conversation.ended = len(conversation.turns) == task.max_turns
        for conversation, search in zip(running, searches, strict=True):
            conversation.ended |= search is None
        running = [conversation for conversation in running if not conversation.ended]
    return conversations


def one_search_agent(conversations: Sequence[str]) -> list[str]:
    """Search for the raw query, then answer."""
    return [ANSWER if _titles(text) is not None else search_action(_query(text)) for text in conversations]


def feedback_agent(conversations: Sequence[str]) -> list[str]:
    r"""Search for the raw query, then for the query with the words that its titles repeat most, then answer.

    It reads the conversation and nothing else: pseudo-relevance feedback from what a shopper sees. Where no word stands
    in two titles, it answers after one search.

    >>> feedback_agent(["shoe", "shoe\nsearch: shoe\n1. Red shoe\n2. Dark red shoe\n3. Blue hat"])
    ['search: shoe', 'search: shoe red']
    """
    return [_feedback_action(text) for text in conversations]


AGENTS: Mapping[str, SearchAgent] = MappingProxyType({"query": one_search_agent, "feedback": feedback_agent})
"""Scripted agents by name."""


def _feedback_action(conversation: str) -> str:
    titles, query = _titles(conversation), _query(conversation)
    if titles is None:
        return search_action(query)
    counts = Counter(word for title in titles for word in dict.fromkeys(tokens(title)))
    query_words = set(tokens(query))
    repeated = [word for word, count in counts.most_common() if count > 1 and word not in query_words][:_WORDS]
    second = conversation.count("\n" + search_action("")) > 1
    return ANSWER if second or not repeated else search_action(" ".join([query, *repeated]))


def _query(conversation: str) -> str:
    """The query of a prompt, without the purchases that may follow it; a query that holds their mark is cut there."""
    return conversation.split("\n", 1)[0].split(" | ", 1)[0]


def _titles(conversation: str) -> list[str] | None:
    """Titles of the last search; ``None`` before the first."""
    parts = conversation.rsplit("\n" + search_action(""), 1)
    if len(parts) == 1:
        return None
    lines = parts[1].split("\n")[1:]
    return [] if lines == [NOTHING_FOUND] else [line.split(". ", 1)[-1] for line in lines]
