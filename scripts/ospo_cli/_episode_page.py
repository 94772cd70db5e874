"""An explanation of an episode in turns as text for a terminal, and as JSON."""

import dataclasses
from argparse import Namespace
from pathlib import Path
from typing import Any

from ospo_agents import AgentError
from ospo_cli._episode import EpisodeExplanation, explain_episode
from ospo_cli._explanation_page import check_query, coloured, painted, print_explanation
from ospo_cli._tasks import open_search_task
from ospo_env import SearchTask
from ospo_env.rendering import terminal_line
from ospo_env.turns.actions import episode_searches, episode_text, read_action
from ospo_env.turns.agents import AGENTS, play_episodes

__all__ = ["show_episode"]

_MOST_BYTES = 1_000_000


def show_episode(arguments: Namespace) -> None:
    """Explain an episode, print it or write it as JSON.

    Args:
        arguments: As ``ospo explain`` parses them.
    """
    task = open_search_task(
        arguments.env,
        arguments.data,
        max_turns=arguments.max_turns,
        price=arguments.price,
        retriever=arguments.retriever,
        metric=arguments.metric,
        candidates=arguments.candidates,
        max_words=arguments.max_words,
        compose=arguments.compose,
        query_weight=arguments.query_weight,
        repeats=arguments.repeats,
    )
    check_query(arguments.query_id, task.retrieval)
    if arguments.agent is not None:
        episode = _played(task, arguments.query_id, arguments.agent)
    else:
        episode = _read(arguments.episode)
    explanation = explain_episode(
        task,
        arguments.query_id,
        episode,
        segmenter=arguments.segmenter,
        solution=arguments.solution,
        top=arguments.top,
    )
    print_explanation(
        _as_json(explanation, arguments, task),
        _lines(explanation, arguments, task, coloured(arguments.color)),
        arguments.json,
    )


def _played(task: SearchTask, query_id: str, agent: str) -> str:
    """The text of the episode that a scripted agent plays."""
    ids, prompts = task.prompts(task.query(query_id).split)
    (conversation,) = play_episodes(task, [query_id], [prompts[ids.index(query_id)]], AGENTS[agent])
    return conversation.episode


def _read(path: Path) -> str:
    """The text of the episode whose actions stand in a file, one a line.

    Raises:
        AgentError: The file cannot be read, is too large or is not UTF-8, or there are actions behind the answer.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise AgentError(f"--episode {path}: expected at most {_MOST_BYTES:,} bytes, an action a line")
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise AgentError(f"--episode {path}: expected a text file with an action a line; {reason}") from error
    actions = episode_searches(text.replace("\r\n", "\n").replace("\r", "\n"))
    searches: list[str] = []
    for number, action in enumerate(actions, start=1):
        search = read_action(action)
        if search is None:
            if any(later.strip() for later in actions[number:]):
                raise AgentError(
                    f"--episode {path}: line {number} is the answer, which ends the episode, but actions follow; "
                    "write 'search: answer' to search for the word"
                )
            break
        searches.append(search)
    return episode_text(searches)


def _lines(explanation: EpisodeExplanation, arguments: Namespace, task: SearchTask, colours: bool) -> list[str]:
    kind = "synthetic data" if task.data.synthetic else "real data"
    searches = len(explanation.turns)
    largest = max((abs(one.credit) for turn in explanation.turns for one in turn.segments), default=0.0)
    lines = [
        terminal_line(f"{arguments.env} ({task.data.manifest['dataset']}, {kind}), {arguments.retriever}"),
        "",
        f"prompt    {terminal_line(explanation.prompt)}",
        f"reward    {explanation.reward:.3f}, the best {explanation.metric} {explanation.best:.3f} less "
        f"{searches} x {explanation.price:g} for searches",
        f"credit    {explanation.solution} of {explanation.players} {explanation.segmenter.replace('-', ' ')}, from "
        f"{explanation.coalitions:,} coalitions",
    ]
    for number, turn in enumerate(explanation.turns, start=1):
        lines += ["", f"turn {number}    {terminal_line(turn.search)}"]
        for segment in turn.segments:
            error = "" if segment.error is None else f" ± {segment.error:.3f}"
            shown = painted(terminal_line(segment.text), segment.credit, largest, colours)
            lines.append(f"  {segment.credit:+.3f}{error}  {shown}")
        lines.append(f"  {turn.total:+.3f}  the turn; alone its {explanation.metric} is {turn.worth:.3f}")
        lines += [f"  {rank:>3}. {title}" for rank, title in enumerate(turn.titles, start=1)]
    if explanation.unplayed:
        lines += ["", f"searches beyond the last turn, which do not count: {explanation.unplayed}; --max-turns sets it"]
    ending = "the sum, which is the reward" if explanation.efficient else "the sum, which is not the reward"
    return [*lines, "", f"  {explanation.total:+.3f}  {ending}"]


def _as_json(explanation: EpisodeExplanation, arguments: Namespace, task: SearchTask) -> dict[str, Any]:
    return {
        "env": arguments.env,
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "retriever": arguments.retriever,
        "agent": arguments.agent,
        "max_turns": task.max_turns,
        **dataclasses.asdict(explanation),
        "total": explanation.total,
        "efficient": explanation.efficient,
    }
