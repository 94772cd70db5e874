"""The first screen of a report: the policy against the raw query on held-out queries, and what it wrote. Pure."""

import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_agents import AgentError
from ospo_env.evaluation.intervals import Interval
from ospo_env.evaluation.verdict import Signs
from ospo_env.repeats import distinct_words, word_pieces

__all__ = [
    "Match",
    "UnderRetriever",
    "Written",
    "find_policy",
    "find_repeats",
    "in_words",
    "under_retrievers",
    "words_written",
]


class UnderRetriever(NamedTuple):
    """The policy against the raw query under one retriever.

    Attributes:
        retriever: Name of the retriever.
        seen: Whether the policy was trained on it.
        raw: Mean metric of the raw query.
        policy: Mean metric of the policy's rewrites.
        gain: Mean gain over the raw query.
        signs: Wins, ties and losses of queries; None where the evaluation does not tell them.
    """

    retriever: str
    seen: bool
    raw: float
    policy: Interval
    gain: Interval
    signs: Signs | None


class Match(NamedTuple):
    """A run's policy in an evaluation.

    Attributes:
        name: Its name in the evaluation.
        is_checked: Whether its digest is the run's; otherwise one of the two has no digest, and the name alone matches.
    """

    name: str
    is_checked: bool


class Written(NamedTuple):
    """Words of rewrites.

    Attributes:
        texts: Number of rewrites.
        mean: Mean number of words of a rewrite.
        longest: Words of the longest.
        repeats: Share of the words that repeat another.
        unknown: Share of the words that no document holds.
        empty: Rewrites without a word.
    """

    texts: int
    mean: float
    longest: int
    repeats: float
    unknown: float
    empty: int


def find_policy(evaluation: Mapping[str, Any], run: Path, digest: str | None) -> Match | None:
    """Find a run's policy in an evaluation, by its path and by its digest; None where no policy has the run's path.

    An evaluation that was made in another directory names the run by the end of its path, so the whole path comes
    first. The digest decides wherever the evaluation and the run both have one.

    Args:
        evaluation: Content of the file that ``ospo evaluate --json`` wrote.
        run: Directory of the run.
        digest: :func:`ospo_agents.policies.digests.policy_digest` of the run's policy.

    Raises:
        AgentError: Several policies have the end of the run's path, or the policy of that path has another digest.
    """
    whole = Path(os.path.abspath(run))
    paths = {
        name: Path(name).parent if Path(name).name == "policy" else Path(name)
        for name, row in evaluation["policies"].items()
        if (row["stage"] or "").startswith("after")
    }
    exact = [name for name, path in paths.items() if Path(os.path.abspath(path)) == whole]
    alike = [name for name, path in paths.items() if path.parts and whole.parts[-len(path.parts) :] == path.parts]
    digests = {name: evaluation["policies"][name].get("policy_digest") for name in (*exact, *alike)}
    if digest is not None and digest in digests.values():
        return Match(next(name for name, other in digests.items() if other == digest), is_checked=True)
    named = exact or alike
    unchecked = [name for name in named if digest is None or digests[name] is None]
    if len({os.path.abspath(paths[name]) for name in unchecked}) > 1:
        raise AgentError(
            f"--evaluation: expected one policy of {run}, but {' and '.join(unchecked)} both end its path; "
            "evaluate it by its whole path"
        )
    if unchecked:
        return Match(unchecked[0], is_checked=False)
    if named:
        raise AgentError(
            f"--evaluation: {named[0]} is another policy than the one in {run}, or an earlier one: the SHA-256 of its "
            f"digests.json is {digests[named[0]]:.16}, not {digest:.16}; evaluate the run again"
        )
    return None


def under_retrievers(evaluation: Mapping[str, Any], policy: str, trained_on: Collection[str]) -> list[UnderRetriever]:
    """A policy against the raw query, under each retriever: those that it was trained on first.

    Args:
        evaluation: Content of the file that ``ospo evaluate --json`` wrote.
        policy: Name of the policy in it.
        trained_on: Names of the retrievers that the policy was trained on.
    """
    row, metric = evaluation["policies"][policy], evaluation["metric"]
    rows = []
    for on in row["metrics"]:
        mean, gain = (Interval.of_json(row[kind][on][metric]) for kind in ("intervals", "gains"))
        signs = row["signs"][on][metric] if "signs" in row else None
        signs = None if signs is None else Signs(*(signs[name] for name in Signs._fields))
        rows.append(UnderRetriever(on, on in trained_on, mean.value - gain.value, mean, gain, signs))
    return sorted(rows, key=lambda row: not row.seen)


def in_words(gain: Interval) -> str:
    """A phrase for a gain over the raw query and its interval.

    >>> in_words(Interval(0.1, 0.05, 0.15)), in_words(Interval(0.1, -0.05, 0.25))
    ('better than the raw query', 'no difference from the raw query shown')
    """
    if math.isnan(gain.low):
        return "one query says nothing about others"
    if gain.low == gain.high == 0:
        return "as good as the raw query, on every query"
    if gain.low > 0:
        return "better than the raw query"
    return "worse than the raw query" if gain.high < 0 else "no difference from the raw query shown"


def words_written(texts: Sequence[str], queries: Sequence[str], known: NDArray[np.int64], *, appended: bool) -> Written:
    """Count the words of rewrites.

    Args:
        texts: B rewrites, at least one.
        queries: The raw query of each.
        known: int64 (B, 2), words as tokens of each rewrite, and those among them that no document holds.
        appended: Whether the query is sent too, so that its words are repeated as well.
    """
    lengths = [len(word_pieces(text)) for text in texts]
    repeats = [len(find_repeats(text, query if appended else "")) for text, query in zip(texts, queries, strict=True)]
    tokens, unknown = known.sum(axis=0).tolist()
    return Written(
        texts=len(texts),
        mean=float(np.mean(lengths)),
        longest=max(lengths),
        repeats=sum(repeats) / max(sum(lengths), 1),
        unknown=unknown / max(tokens, 1),
        empty=lengths.count(0),
    )


def find_repeats(text: str, query: str = "") -> list[tuple[int, int]]:
    """Character spans of words of a text that repeat an earlier one, or a word of a query in front of it.

    >>> find_repeats("Red shoe, red"), find_repeats("red shoe", "shoe")
    ([(10, 13)], [(4, 8)])
    """
    words, spans = set(distinct_words(query)), []
    for piece in word_pieces(text):
        if piece.word in words:
            spans.append((piece.start, piece.stop))
        words.add(piece.word)
    return spans
