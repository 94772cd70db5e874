"""Shares of a batch of rewrites that show a policy collapsing before its reward does."""

from collections.abc import Sequence

from ospo_agents.protocols import CoalitionTask, LexicalTask

__all__ = ["SHARES", "rewrite_shares"]

SHARES = ("distinct_rewrites", "empty_rewrites", "unknown_words")
"""Names of the shares."""


def rewrite_shares(task: CoalitionTask, prompt_ids: Sequence[str], texts: Sequence[str | None]) -> dict[str, float]:
    """Shares of a batch of B rewrites, each in [0, 1].

    Args:
        task: The task; words are looked up where it is a :class:`~ospo_agents.protocols.LexicalTask`.
        prompt_ids: The prompt that each text answers, length B.
        texts: Rewrites; None for a completion that holds none, which no share counts.

    Returns:
        ``distinct_rewrites``: different texts over different pairs of prompt and text, empty texts left out: 1 where no
        text is written for two prompts and 1 / P where all P prompts get the same texts. Copies within a group do not
        count, since they show certainty, not blindness to the prompt.
        ``empty_rewrites``: blank texts over all texts.
        ``unknown_words``: words that no document holds over all words; absent where the task does not tell.
        A share of nothing is 0.

    >>> rewrite_shares(object(), ["a", "a", "b", "b"], ["red", "red", "red", ""])
    {'distinct_rewrites': 0.5, 'empty_rewrites': 0.25}
    """
    answers = [(prompt_id, text) for prompt_id, text in zip(prompt_ids, texts, strict=True) if text is not None]
    pairs = {(prompt_id, text) for prompt_id, text in answers if text.strip()}
    shares = {
        "distinct_rewrites": _share(len({text for _, text in pairs}), len(pairs)),
        "empty_rewrites": _share(sum(not text.strip() for _, text in answers), len(answers)),
    }
    if isinstance(task, LexicalTask):
        words, unknown = task.count_words([text for _, text in answers]).sum(axis=0).tolist()
        shares["unknown_words"] = _share(unknown, words)
    return shares


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
