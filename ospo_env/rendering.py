"""An episode as text, for ``render_mode="ansi"``."""

from collections.abc import Sequence
from typing import NamedTuple

from ospo_env.text import clean_text

__all__ = ["RankedDocument", "render_episode"]

_MAX_TITLE = 80


class RankedDocument(NamedTuple):
    """One row of a rendered ranking.

    Attributes:
        doc_id: The document's id.
        title: Its title.
        gain: Its gain for the query, in [0, 1]; 0 where it was not judged.
    """

    doc_id: str
    title: str
    gain: float


def render_episode(
    prompt: str,
    rewrite: str | None = None,
    top: Sequence[RankedDocument] = (),
    *,
    ranked: int = 0,
    reward: float = 0.0,
    metric: str = "reward",
    words_beyond_cap: int = 0,
) -> str:
    """The prompt and, once there is a rewrite, what it earned.

    Full gain is marked ``*``, any other gain ``+``. Lone surrogates become U+FFFD, so that the text can be printed.

    Args:
        prompt: What the policy read.
        rewrite: What it wrote; ``None`` before the step.
        top: The best ranked documents, best first.
        ranked: How many documents of the pool the rewrite matched.
        reward: What the step returned.
        metric: The name of the reward's metric.
        words_beyond_cap: Words of the rewrite that were not scored.

    Returns:
        Some lines, without a final line break.

    >>> shoe = RankedDocument("d7", "Red shoe", 1.0)
    >>> print(render_episode("shoe", "red shoe", [shoe], ranked=1, reward=1.0, metric="nDCG@10", words_beyond_cap=2))
    prompt   shoe
    rewrite  red shoe  (2 words beyond the cap)
    nDCG@10  1.0000  (1 documents ranked)
      1 * Red shoe [d7]
    """
    lines = [f"prompt   {_one_line(prompt)}"]
    if rewrite is not None:
        beyond = f"  ({words_beyond_cap} words beyond the cap)" if words_beyond_cap else ""
        lines.append(f"rewrite  {_one_line(rewrite)}{beyond}")
        lines.append(f"{metric:<8} {reward:.4f}  ({ranked} documents ranked)")
        for rank, document in enumerate(top, start=1):
            mark = "*" if document.gain >= 1.0 else "+" if document.gain > 0.0 else " "
            lines.append(f"{rank:>3} {mark} {_one_line(document.title)[:_MAX_TITLE]} [{_one_line(document.doc_id)}]")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(clean_text(text).split())
