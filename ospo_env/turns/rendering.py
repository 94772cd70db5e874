"""An episode in turns as text, for ``render_mode="ansi"``."""

from collections.abc import Sequence

from ospo_env.rendering import RankedDocument, terminal_line, title_line
from ospo_env.turns.conversation import Conversation

__all__ = ["render_conversation"]


def render_conversation(
    conversation: Conversation,
    documents: Sequence[Sequence[RankedDocument]],
    metric: str,
    reward: float | None = None,
) -> str:
    """The prompt, each search with the documents ranked first, and at the end the reward.

    Full gain is marked ``*``, any other gain ``+``.

    Args:
        conversation: The episode.
        documents: The best ranked documents of each search, best first.
        metric: The name of the metric.
        reward: Reward of the episode; ``None`` before its end.

    Returns:
        Some lines, without a final line break.
    """
    lines = [f"prompt   {terminal_line(conversation.prompt)}"]
    for turn, ranked in zip(conversation.turns, documents, strict=True):
        outcome = turn.outcome
        beyond = f"  ({outcome.words_beyond_cap} words beyond the cap)" if outcome.words_beyond_cap else ""
        lines.append(f"search   {terminal_line(turn.search)}{beyond}")
        lines.append(f"{metric:<8} {outcome.reward:.4f}  ({len(outcome.ranking)} documents ranked)")
        lines += [f"{rank:>3} {one.mark} {title_line(one.title)}" for rank, one in enumerate(ranked, start=1)]
    if reward is not None:
        lines.append(f"reward   {reward:.4f}  (searches: {len(conversation.turns)})")
    return "\n".join(lines)
