"""The task: rewards, coalition values and rankings of rewrites, in batches."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from envs_data import PreparedData
from envs_data.assembly.demonstrations import ADDED_KINDS
from envs_data.errors import unknown_name
from ospo_env.composition import Composition
from ospo_env.errors import TaskError
from ospo_env.forks import refuse_after_fork
from ospo_env.metrics import parse_metric
from ospo_env.outcomes import Outcome
from ospo_env.prompts import Prompts
from ospo_env.retrievers.base import Retriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.registry import RetrieverSpec, make_retriever
from ospo_env.retrievers.terms import term_counts
from ospo_env.retrievers.vocabulary import Vocabulary
from ospo_env.scoring.base import Scorer
from ospo_env.scoring.calls import retriever_errors
from ospo_env.scoring.candidate_pools import CandidatePools
from ospo_env.scoring.coalitions import check_coalitions, check_spans, cut_spans
from ospo_env.scoring.composer import Composer
from ospo_env.scoring.corpus_scorer import CorpusScorer
from ospo_env.scoring.limits import make_limits
from ospo_env.scoring.pool_scorer import PoolScorer
from ospo_env.text import clean_text, tokens

__all__ = ["DEFAULT_METRICS", "RetrievalTask"]

DEFAULT_METRICS = ("nDCG@10", "RR", "R@10", "AP")
"""Metrics that ``evaluate`` computes besides the task's own."""

_SCORERS: Mapping[str, type[Scorer]] = MappingProxyType({"pool": PoolScorer, "corpus": CorpusScorer})
_MOST_WORDS = 2**16  # sums of integer term weights are exact far beyond


class RetrievalTask(Prompts):
    """Rewriting of queries for a frozen retriever; a rewrite earns the metric of the ranking that it brings.

    Prompts are those of :class:`~ospo_env.prompts.Prompts`. A rewrite is read up to the end of its ``max_words``-th
    word, but the raw query is never cut, neither in front of a rewrite nor at its start. A text that matches nothing
    earns 0. Lone surrogates are read as U+FFFD. Threads may share a task: they call the retriever one at a time.

    The retriever is sent the rewrite, or the query and the rewrite (``compose="append"``). The query is then part of
    every coalition and no player: the empty coalition is worth what the raw query earns, and efficient credit sums to
    the gain over it. A rewrite that is blank, or holds no token that the retriever knows, earns what the raw query
    earns.

    Attributes:
        data: The data set.
        retriever: The retriever that ranks.
        metric: The printed name of the metric.
        max_words: Words of a rewrite that count.
        candidates: ``"pool"`` or ``"corpus"``.
        compose: ``"replace"`` or ``"append"``.
        query_weight: Times that the query counts in front of a rewrite.
        repeats: ``"count"`` or ``"once"``.

    Args:
        data: A prepared data set.
        retriever: A registered name, ``module:attribute``, a retriever or a factory.
        metric: A metric's name.
        max_words: In 1 .. 65536.
        candidates: ``"pool"``, each query's own candidates, or ``"corpus"``, all documents, of which the best 1,000
            count. The corpus is ranked a text at a time, and no coalition is a sum there.
        compose: ``"replace"``, the retriever is sent the rewrite, or ``"append"``, the query and then the rewrite.
        query_weight: Times that the query counts with ``"append"``, in 1 .. 100: its text is written that many times,
            and linear retrievers multiply its scores instead.
        repeats: ``"count"``, a word weighs as often as it stands, or ``"once"``, later copies of a word are not sent,
            nor with ``"append"`` copies of the query's words. Words are compared as tokens, without case.

    Raises:
        TaskError: The retriever, the metric, the candidates or a mode are unknown, or a number is out of range.
    """

    def __init__(
        self,
        data: PreparedData,
        retriever: RetrieverSpec = "bm25",
        metric: str = "nDCG@10",
        max_words: int = 16,
        candidates: str = "pool",
        compose: str = "replace",
        query_weight: int = 1,
        repeats: str = "count",
    ) -> None:
        super().__init__(data)
        if not isinstance(max_words, int) or isinstance(max_words, bool) or not 1 <= max_words <= _MOST_WORDS:
            raise TaskError(f"expected max_words as an integer in 1 .. {_MOST_WORDS}; got {max_words!r}")
        if candidates not in _SCORERS:
            raise TaskError(unknown_name("candidates", candidates, _SCORERS))
        self._composition = Composition(compose, query_weight, repeats)
        parsed = parse_metric(metric)
        self.retriever: Retriever = make_retriever(retriever, Corpus.of_documents(data.documents))
        self.metric = str(parsed)
        self.max_words = max_words
        self.candidates = candidates
        self.compose, self.query_weight, self.repeats = compose, query_weight, repeats
        self._composer = Composer(self._composition, [clean_text(query) for query in self._queries], self.retriever)
        self._scorer = _SCORERS[candidates](self.retriever, CandidatePools(data), parsed, self._composer)
        self._metrics = [parse_metric(name) for name in dict.fromkeys((self.metric, *DEFAULT_METRICS))]

    def demonstrations(self) -> list[tuple[str, str]]:
        """Pairs of a training prompt's id and an example rewrite.

        Expansions and associations, kinds of demonstrations that preparation makes, are words to add to the query:
        where the task sends no query itself (``compose="replace"``), it is put in front of them.
        """
        pairs = super().demonstrations()
        if self._composition.appends or self.data.demonstration_kind not in ADDED_KINDS:
            return pairs
        queries = [self._queries[row] for row in self._rows([prompt_id for prompt_id, _ in pairs])]
        texts = [f"{query} {text}".rstrip() for query, (_, text) in zip(queries, pairs, strict=True)]
        capped = [
            self._composition.cap(text, self.max_words, query)[0] for text, query in zip(texts, queries, strict=True)
        ]
        return [(prompt_id, text) for (prompt_id, _), text in zip(pairs, capped, strict=True)]

    def rewards(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """The metric of each text's ranking, as ``env.step`` returns it.

        Args:
            prompt_ids: B ids.
            texts: B texts, any strings.

        Returns:
            float64 (B,), in [0, 1].

        Raises:
            TypeError: A text is not a string.
            TaskError: An id is unknown, or the lengths differ.
            RetrieverError: The retriever failed.
        """
        rows, capped, _ = self._admit(prompt_ids, texts)
        return self._scorer.rewards(rows, capped)

    def coalition_values(
        self,
        prompt_ids: Sequence[str],
        texts: Sequence[str],
        spans: Sequence[Sequence[tuple[int, int]]],
        coalitions: Sequence[NDArray[np.bool_]],
        calls: int | Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> list[NDArray[np.float64]]:
        """The worth of each coalition of each text's segments, by one call of the retriever at most.

        The text of a coalition is its segments in order, with one space wherever a segment between two of them was
        dropped; then repeated words are dropped and the query is put in front, if the task does so. The word cap is
        applied to the whole text, once: what lies beyond adds nothing. The grand coalition is worth ``rewards`` of the
        text, bit for bit, the empty one 0, or with ``compose="append"`` what the raw query is worth.

        With ``calls``, only some texts are sent to a retriever that is not :attr:`linear`: the whole text, those of
        single segments, which may not be among the coalitions, and others that the seed chooses. Worths of the others
        are estimated: by rankings of scores fitted to those that were called, or from worths alone where scores say too
        little (the whole corpus, fusions). What was called has its own worth, so that nothing is estimated where the
        coalitions have no more distinct texts than may be called. With ``compose="append"`` the raw query is valued
        too, beside the calls.

        Args:
            prompt_ids: B ids.
            texts: B texts, any strings.
            spans: For each text its segments, N_b pairs ``(start, end)`` of character offsets that tile the text as
                it was given; none for an empty text.
            coalitions: For each text a boolean matrix (C_b, N_b).
            calls: Distinct texts of each rewrite that may be sent, one number for all or one each: at least one more
                than it has segments that count. ``None`` for no bound; linear retrievers need none.
            seeds: Seed of each rewrite's choice; ``None`` makes one of prompt id and text.

        Returns:
            B times float64 (C_b,), in [0, 1].

        Raises:
            TypeError: A text is not a string, an offset not an integer, or a coalition not boolean.
            TaskError: An id is unknown, lengths differ, spans do not tile their text, a matrix has another width, or
                there are too few calls.
            RetrieverError: The retriever failed.
        """
        rows, capped, _ = self._admit(prompt_ids, texts)
        if not len(texts) == len(spans) == len(coalitions):
            raise TaskError(
                f"expected one list of spans and one coalition matrix a text; got {len(texts)} texts, "
                f"{len(spans)} lists of spans and {len(coalitions)} matrices"
            )
        tiles = [check_spans(text, spans[b], f" of text {b}") for b, text in enumerate(texts)]
        checked = [check_coalitions(coalitions[b], len(tile), f" of text {b}") for b, tile in enumerate(tiles)]
        cut = [cut_spans(tile, len(text)) for tile, text in zip(tiles, capped, strict=True)]
        limits = None
        if calls is not None:
            players = [0 if self.linear else int((tile[:, 1] > tile[:, 0]).sum()) for tile in cut]
            limits = make_limits(prompt_ids, texts, players, calls, seeds)
            limits = None if self.linear else limits
        return self._scorer.worths(rows, capped, cut, checked, limits)

    @property
    def linear(self) -> bool:
        """True if worths of coalitions follow from the scores of segments, so that ``calls`` has no effect."""
        with retriever_errors(self.retriever.name, "on the property linear"):
            return self.candidates == "pool" and bool(self.retriever.linear)

    def scored(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
        """Number of characters at the start of each text that count, int64 (B,); what lies beyond adds nothing.

        Args:
            prompt_ids: B ids.
            texts: B texts.

        Raises:
            TaskError: An id is unknown, or lengths differ.
        """
        return np.array([len(capped) for capped in self._admit(prompt_ids, texts)[1]], dtype=np.int64)

    @property
    def counters(self) -> Mapping[str, int]:
        """Work since the task was made, by whichever method.

        ``asked`` counts texts and coalitions, ``distinct`` the texts whose scores were needed after duplicates were
        removed within each call (those of segments, where the retriever is linear), ``cached`` those among them that
        earlier calls had left in the cache, ``stored`` those that the retriever found on disk, as engines may: the
        retriever has scored ``distinct - cached - stored`` texts. ``estimated`` counts coalitions whose worth was
        estimated.
        """
        return self._scorer.counters

    def evaluate(
        self, prompt_ids: Sequence[str], texts: Sequence[str], metrics: Sequence[str] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Several metrics of each text's ranking.

        Args:
            prompt_ids: B ids.
            texts: B texts.
            metrics: Names; by default the task's own metric, then :data:`DEFAULT_METRICS`.

        Returns:
            For each name, as printed, float64 (B,) in [0, 1].
        """
        parsed = [parse_metric(name) for name in dict.fromkeys(metrics)] if metrics else self._metrics
        rows, capped, _ = self._admit(prompt_ids, texts)
        return dict(zip(map(str, parsed), self._scorer.measured(rows, capped, parsed).values, strict=True))

    def rankings(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> list[tuple[str, ...]]:
        """For each text the ids of the candidates that it matches, best first."""
        rows, capped, _ = self._admit(prompt_ids, texts)
        return self._named(self._scorer.measured(rows, capped, self._metrics[:1]).rankings)

    def outcomes(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> list[Outcome]:
        """Rank and measure a batch of rewrites in one call of the retriever; ``env.step`` is a batch of one.

        Args:
            prompt_ids: B ids.
            texts: B texts, any strings.

        Returns:
            B outcomes.

        Raises:
            TypeError: A text is not a string.
            TaskError: An id is unknown, or the lengths differ.
            RetrieverError: The retriever failed.
        """
        rows, capped, beyond = self._admit(prompt_ids, texts)
        values, ranked = self._scorer.measured(rows, capped, self._metrics)
        names = list(map(str, self._metrics))
        return [
            Outcome(
                reward=of_text[0],
                ranking=doc_ids,
                metrics=dict(zip(names, of_text, strict=True)),
                words_beyond_cap=words,
            )
            for of_text, doc_ids, words in zip(values.T.tolist(), self._named(ranked), beyond, strict=True)
        ]

    def sent(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> list[str]:
        """The text that the retriever is sent for each of B rewrites."""
        rows, capped, _ = self._admit(prompt_ids, texts)
        return self._composer.texts(rows.tolist(), capped)

    def raw_rewrites(self, prompt_ids: Sequence[str]) -> list[str]:
        """The rewrites that leave B queries as they are: the raw query, or with ``compose="append"`` the empty text."""
        return ["" if self._composition.appends else self._queries[row] for row in self._rows(prompt_ids)]

    def words_beyond_cap(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> list[int]:
        """For each of B texts the words that do not count, since they lie beyond the cap."""
        return self._admit(prompt_ids, texts)[2]

    def count_words(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Words of each of B texts, as tokens, and those among them that no document holds: int64 (B, 2).

        The tokens of the documents are counted at the first call, unless they are on disk.
        """
        counts = [len(tokens(text)) for text in texts]
        unknown = [count - len(ids) for count, ids in zip(counts, self._vocabulary.known(texts), strict=True)]
        return np.array([counts, unknown], dtype=np.int64).T

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        refuse_after_fork("reading data")
        return Vocabulary(term_counts(Corpus.of_documents(self.data.documents)))

    def _named(self, ranked: Sequence[NDArray[np.int32]]) -> list[tuple[str, ...]]:
        """Ids of ranked documents, from their rows."""
        doc_ids = self.data.documents["doc_id"][np.concatenate([*ranked, np.empty(0, np.int32)])].to_list()
        ends = accumulate(map(len, ranked), initial=0)
        return [tuple(doc_ids[first:end]) for first, end in pairwise(ends)]

    def _admit(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> tuple[NDArray[np.int64], list[str], list[int]]:
        """Query rows (B,), rewrites as they count, clean and capped, and how many words of each lie beyond the cap."""
        for what, sequence in (("prompt ids", prompt_ids), ("texts", texts)):
            if isinstance(sequence, str):
                raise TypeError(f"expected a sequence of {what}; got the single string {sequence[:60]!r}")
        if len(prompt_ids) != len(texts):
            raise TaskError(f"expected one text a prompt id; got {len(prompt_ids)} ids and {len(texts)} texts")
        for b, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"expected text {b} to be a string; got {type(text).__name__}")
        rows = self._rows(prompt_ids)
        capped = [
            self._composition.cap(clean_text(text), self.max_words, clean_text(self._queries[row]))
            for row, text in zip(rows.tolist(), texts, strict=True)
        ]
        return rows, [text for text, _ in capped], [beyond for _, beyond in capped]
