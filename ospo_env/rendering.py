"""An episode as text, for ``render_mode="ansi"``, and what is shown of ranked documents."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from envs_data import PreparedData
from ospo_env.forks import refuse_after_fork
from ospo_env.metrics import FULL_GAIN
from ospo_env.text import clean_text

__all__ = ["RankedDocument", "describe", "render_episode", "terminal_line", "terminal_text", "title_line", "titles"]

_MAX_TITLE = 80
_COMMANDS = re.compile(  # what a terminal takes for a command, and what turns the direction of the text after it
    r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


class RankedDocument(NamedTuple):
    """One row of a rendered ranking.

    Attributes:
        doc_id: The document's id.
        title: Its title, or without one the start of its text.
        gain: Its gain for the query, at least 0; 0 where it was not judged.
    """

    doc_id: str
    title: str
    gain: float

    @property
    def mark(self) -> str:
        """``*`` for full gain, ``+`` for any other, a space for none."""
        return "*" if self.gain >= FULL_GAIN else "+" if self.gain > 0.0 else " "


def describe(data: PreparedData, query_id: str, doc_ids: Sequence[str]) -> list[RankedDocument]:
    """Documents with their titles and their gains for a query, in the order of their ids.

    Args:
        data: The data set.
        query_id: The query.
        doc_ids: Ids of documents of the data set, different ones.

    Raises:
        TaskError: This process was forked from one that has read data.
    """
    title_of = titles(data, doc_ids)
    doc_id_column = data.documents["doc_id"]
    judged = data.qrels.filter(pl.col("query_id") == query_id)
    gains = dict(zip(doc_id_column.gather(judged["doc_row"]), judged["gain"], strict=True))
    return [RankedDocument(doc_id, title_of[doc_id], gains.get(doc_id, 0.0)) for doc_id in doc_ids]


def titles(data: PreparedData, doc_ids: Sequence[str]) -> dict[str, str]:
    """Titles of documents by id; without a title the start of the text.

    Args:
        data: The data set.
        doc_ids: Ids of documents of the data set, different ones.

    Raises:
        TaskError: This process was forked from one that has read data.
    """
    refuse_after_fork("reading data")
    doc_id_column = data.documents["doc_id"]
    rows = doc_id_column.is_in(pl.Series(doc_ids, dtype=pl.String).implode()).arg_true()
    row_of = dict(zip(doc_id_column.gather(rows), rows.to_list(), strict=True))
    title_of = dict(zip(row_of, data.documents["title"].gather(rows), strict=True))
    for doc_id in (doc_id for doc_id, title in title_of.items() if not title):
        title_of[doc_id] = data.documents.texts[row_of[doc_id]][:_MAX_TITLE]
    return title_of


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

    Full gain is marked ``*``, any other gain ``+``. Texts are shown as :func:`terminal_line` makes them.

    Args:
        prompt: Prompt that the policy read.
        rewrite: Rewrite of the policy; ``None`` before the step.
        top: The best ranked documents, best first.
        ranked: Number of documents of the pool that the rewrite matched.
        reward: Reward of the step.
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
    lines = [f"prompt   {terminal_line(prompt)}"]
    if rewrite is not None:
        beyond = f"  ({words_beyond_cap} words beyond the cap)" if words_beyond_cap else ""
        lines.append(f"rewrite  {terminal_line(rewrite)}{beyond}")
        lines.append(f"{metric:<8} {reward:.4f}  ({ranked} documents ranked)")
        for rank, document in enumerate(top, start=1):
            lines.append(f"{rank:>3} {document.mark} {title_line(document.title)} [{terminal_line(document.doc_id)}]")
    return "\n".join(lines)


def title_line(title: str) -> str:
    """A title as a line that a terminal shows, its first 80 characters."""
    return terminal_line(title)[:_MAX_TITLE]


def terminal_line(text: str) -> str:
    """A text of data or of a model as one line that a terminal shows and does not obey.

    White space becomes single spaces; control characters, marks of writing direction and lone surrogates become U+FFFD.

    >>> terminal_line("red" + chr(10) + chr(27) + "[2Jshoe")
    'red \ufffd[2Jshoe'
    """
    return _COMMANDS.sub("\ufffd", " ".join(clean_text(text).split()))


def terminal_text(text: str) -> str:
    """As :func:`terminal_line`, but line breaks, tabs and runs of spaces stay.

    >>> terminal_text("a  b" + chr(27) + "[2Jc" + chr(13) + "d")
    'a  b\ufffd[2Jc\ufffdd'
    """
    return _COMMANDS.sub(lambda sign: sign[0] if sign[0] in "\n\t" else "\ufffd", clean_text(text))
