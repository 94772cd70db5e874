"""Spelling: query words that no document holds, corrected to words that documents hold; no judgements."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ospo_env.evaluation.expansion import corpus_words
from ospo_env.task import RetrievalTask
from ospo_env.text import cap_words, token_spans, tokens

__all__ = ["correction", "spelling_policy"]

_SHORTEST = 4  # letters of a word that is corrected: shorter ones have too many neighbours
_LEAST = 2  # documents that hold a word, before it corrects another: one may be a slip itself


def spelling_policy(task: RetrievalTask) -> Callable[..., list[str]]:
    """The query with corrections of the words that the corpus does not know.

    A word of at least four letters, without digits, that no document holds becomes the word at edit distance 1 that
    most documents hold, at least two; ties in alphabetic order. An edit leaves out, adds or changes a letter, or swaps
    two that stand side by side (Damerau 1964). Words without such a neighbour stay.

    Corrections take the place of the words, but where the task sends the query itself (``compose="append"``) they are
    the rewrite, which is empty if there are none. A query longer than the word cap stays as it is, since only the raw
    query is never cut.
    """
    corpus = corpus_words(task)
    frequency = dict(zip(corpus.words, corpus.frequency.tolist(), strict=True))
    letters = sorted({letter for word in corpus.words if len(word) >= _SHORTEST - 1 for letter in word})
    corrections: dict[str, str | None] = {}

    def corrected(word: str) -> str | None:
        parts = tokens(word)
        if len(parts) != 1:
            return None
        if parts[0] not in corrections:
            corrections[parts[0]] = correction(parts[0], frequency, letters)
        return corrections[parts[0]]

    def rewrite(prompt_id: str) -> str:
        query = task.query(prompt_id).query
        spans = token_spans(query)
        corrections = {span: new for span in spans if (new := corrected(query[slice(*span)])) is not None}
        if task.compose == "append":
            return cap_words(" ".join(dict.fromkeys(corrections.values())), task.max_words)[0]
        if len(spans) > task.max_words:
            return query
        for (start, end), new in reversed(corrections.items()):
            query = query[:start] + new + query[end:]
        return query

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        return [rewrite(prompt_id) for prompt_id in prompt_ids]

    return policy


def correction(word: str, frequency: Mapping[str, int], letters: Sequence[str]) -> str | None:
    """The most frequent neighbour of a word that no document holds; None for a known word and one without a neighbour.

    Args:
        word: A token.
        frequency: Number of documents that hold each word of the corpus.
        letters: Letters that may be added.

    >>> correction("fauctes", {"faucet": 9, "faucets": 3, "facts": 1}, "abcdefst")
    'faucets'
    """
    if word in frequency or len(word) < _SHORTEST or not word.isalpha():
        return None
    candidates = {near for near in _neighbours(word, letters) if frequency.get(near, 0) >= _LEAST}
    return min(candidates, key=lambda near: (-frequency[near], near), default=None)


def _neighbours(word: str, letters: Sequence[str]) -> Iterator[str]:
    """Words at edit distance 1, some twice."""
    for place in range(len(word) + 1):
        before, after = word[:place], word[place:]
        if after:
            yield before + after[1:]
            yield from (before + letter + after[1:] for letter in letters)
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:]
        yield from (before + letter + after for letter in letters)
