"""Spelling: query words that no document holds, corrected to words that documents hold; no judgements."""

from collections.abc import Callable, Sequence

from envs_data.assembly.spelling import correction, known_letters
from ospo_env.evaluation.expansion import corpus_words
from ospo_env.task import RetrievalTask
from ospo_env.text import cap_words, token_spans, tokens

__all__ = ["spelling_policy"]


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
    letters = known_letters(corpus.words)
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
