"""The task in turns: rewards and coalition values of episodes, in batches, and the searches that they are made of."""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from envs_data import PreparedData
from ospo_env.errors import TaskError
from ospo_env.prompts import Query
from ospo_env.rendering import title_line, titles
from ospo_env.scoring.base import split_values
from ospo_env.scoring.coalitions import check_coalitions, check_spans
from ospo_env.task import RetrievalTask
from ospo_env.turns.actions import episode_searches, episode_text, one_line
from ospo_env.turns.conversation import Turn, shown_titles
from ospo_env.turns.games import combine, part_games, settle

__all__ = ["SearchTask"]

_MOST_TURNS = 64
_MOST_SHOWN = 100
_Spans = Sequence[Sequence[tuple[int, int]]]


class SearchTask:
    """Search in turns on a retrieval task: an episode earns its best ranking's metric, less a price a search.

    An episode is named by a prompt and its text, which has a line for each search: what an agent read between two
    searches changes which searches it makes, not what they are worth. So a text of any origin can be valued, with no
    state behind it, and trainers and adapters of :class:`~ospo_env.RetrievalTask` learn from this; means and contrasts
    of rewards and numeric views do not take it. Lines beyond ``max_turns`` are not played. Each search has the word cap
    of the retrieval task to itself.

    The reward is the maximum of the task's metric over the rankings that were shown, less ``price`` for each search;
    the episode without a search earns 0. It lies in [-max_turns * price, 1].

    Attributes:
        retrieval: The task that ranks and measures each search.
        max_turns: Searches of an episode at most.
        price: Price of a search, in the unit of the metric.
        shown: Titles that are shown of a ranking.

    Args:
        retrieval: Any task of an environment of one step: ``env.unwrapped.task``.
        max_turns: In 1 .. 64.
        price: In [0, 1].
        shown: In 0 .. 100.

    Raises:
        TaskError: A number is out of range.
    """

    def __init__(self, retrieval: RetrievalTask, max_turns: int = 4, price: float = 0.02, shown: int = 5) -> None:
        for name, value, least, most in (("max_turns", max_turns, 1, _MOST_TURNS), ("shown", shown, 0, _MOST_SHOWN)):
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
                raise TaskError(f"expected {name} as an integer in {least} .. {most}; got {value!r}")
        if isinstance(price, bool) or not isinstance(price, int | float | np.number) or not 0 <= price <= 1:
            raise TaskError(f"expected price as a number in [0, 1]; got {price!r}")
        self.retrieval = retrieval
        self.max_turns, self.price, self.shown = int(max_turns), float(price), int(shown)

    @property
    def in_turns(self) -> bool:
        """True: texts are episodes, a line for each turn."""
        return True

    @property
    def lowest_reward(self) -> float:
        """The reward of as many searches as an episode may have, when they find nothing."""
        return -self.max_turns * self.price

    @property
    def data(self) -> PreparedData:
        """The data set."""
        return self.retrieval.data

    @property
    def metric(self) -> str:
        """The printed name of the metric."""
        return self.retrieval.metric

    @property
    def counters(self) -> Mapping[str, int]:
        """Work of the retrieval task, in whose coalitions the parts of single searches are counted."""
        return self.retrieval.counters

    def prompts(self, split: str) -> tuple[list[str], list[str]]:
        """Ids and texts of a split's prompts, in stored order."""
        return self.retrieval.prompts(split)

    def query(self, prompt_id: str) -> Query:
        """The query behind a prompt."""
        return self.retrieval.query(prompt_id)

    def demonstrations(self) -> list[tuple[str, str]]:
        """Pairs of a training prompt's id and an example episode, of one search."""
        return [(prompt_id, episode_text([one_line(text)])) for prompt_id, text in self.retrieval.demonstrations()]

    def texts(self) -> Iterator[str]:
        """Texts for a tokenizer; nothing of validation or test queries is among them."""
        return self.retrieval.texts()

    def count_words(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Words of each of B texts, and those among them that no document holds: int64 (B, 2)."""
        return self.retrieval.count_words(texts)

    def search(self, prompt_ids: Sequence[str], searches: Sequence[str]) -> list[Turn]:
        """Make B searches, each of an episode of its own, in one call of the retriever.

        Args:
            prompt_ids: B ids.
            searches: B texts without line breaks, as :func:`~ospo_env.turns.actions.read_action` gives them.

        Raises:
            TypeError: A text is not a string.
            TaskError: An id is unknown, the lengths differ, or a text holds a line break, which would end its turn.
            RetrieverError: The retriever failed.
        """
        for search in searches:
            if isinstance(search, str) and "\n" in search:
                raise TaskError(
                    f"expected a search without line breaks; got {reprlib.repr(search)}; read_action gives one"
                )
        outcomes = self.retrieval.outcomes(prompt_ids, searches)
        ranked = [outcome.ranking[: self.shown] for outcome in outcomes]
        title_of = titles(self.data, list(dict.fromkeys(doc_id for doc_ids in ranked for doc_id in doc_ids)))
        return [
            Turn(search, tuple(title_line(title_of[doc_id]) for doc_id in doc_ids), outcome)
            for search, doc_ids, outcome in zip(searches, ranked, outcomes, strict=True)
        ]

    def replies(self, prompt_ids: Sequence[str], turns: Sequence[str]) -> list[str]:
        """The numbered titles that an agent reads after each of B searches, a line each; one call of the retriever."""
        made = self.search(prompt_ids, [one_line(turn) for turn in turns])
        return ["".join(f"{line}\n" for line in shown_titles(turn.titles, turn.outcome.ranking)) for turn in made]

    def earned(self, turns: Sequence[Turn]) -> float:
        """The reward of searches that were made, equal to :meth:`rewards` of their episode, bit for bit."""
        return float(settle(np.array([[turn.outcome.reward] for turn in turns]).reshape(-1, 1), self.price)[0])

    def rewards(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """Reward of each episode.

        Args:
            prompt_ids: B ids.
            texts: B episodes' texts, any strings.

        Returns:
            float64 (B,), in [-max_turns * price, 1].

        Raises:
            TypeError: A text is not a string.
            TaskError: An id is unknown, or the lengths differ.
            RetrieverError: The retriever failed.
        """
        return self._best(prompt_ids, texts, self.price)

    def metric_values(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """The metric of each episode's best ranking, without prices: float64 (B,), in [0, 1]."""
        return self._best(prompt_ids, texts, 0.0)

    def scored(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.int64]:
        """Number of characters at the start of each text that count, int64 (B,); what lies beyond adds nothing.

        Words beyond the cap of an earlier search lie before that, and are null players.
        """
        played, of_searches = self._scored_searches(prompt_ids, texts)
        ends = []
        for searches, lengths, text in zip(played, of_searches, texts, strict=True):
            first = len(episode_text(searches[:-1]))
            whole = not searches or lengths[-1] == len(searches[-1])
            ends.append(min(len(episode_text(searches)), len(text)) if whole else first + int(lengths[-1]))
        return np.array(ends, dtype=np.int64)

    def coalition_values(
        self,
        prompt_ids: Sequence[str],
        texts: Sequence[str],
        spans: _Spans,
        coalitions: Sequence[NDArray[np.bool_]],
    ) -> list[NDArray[np.float64]]:
        """The worth of each coalition of each episode's segments, by one call of the retriever at most.

        A coalition replays the searches of which it keeps a phrase, with the kept phrases alone, as
        :meth:`~ospo_env.RetrievalTask.coalition_values` makes their texts; a search of which no phrase that counts is
        kept is not made and costs nothing. All segments together are worth ``rewards`` of the text, bit for bit, and no
        segment 0. Each distinct part of a search is ranked once, whatever coalitions of other searches it stands in.

        Args:
            prompt_ids: B ids.
            texts: B episodes' texts.
            spans: For each text its segments, N_b pairs ``(start, end)`` that tile it, each within one line and the
                line break that ends it: the line is the segment's turn.
            coalitions: For each text a boolean matrix (C_b, N_b).

        Returns:
            B times float64 (C_b,), in [-max_turns * price, 1].

        Raises:
            TypeError: A text is not a string, an offset not an integer, or a coalition not boolean.
            TaskError: An id is unknown, lengths differ, spans do not tile their text or cross lines, or a matrix has
                another width.
            RetrieverError: The retriever failed.
        """
        _, lengths = self._scored_searches(prompt_ids, texts)
        if not len(texts) == len(spans) == len(coalitions):
            raise TaskError(
                f"expected one list of spans and one coalition matrix a text; got {len(texts)} texts, "
                f"{len(spans)} lists of spans and {len(coalitions)} matrices"
            )
        tiles = [check_spans(text, spans[b], f" of text {b}") for b, text in enumerate(texts)]
        checked = [check_coalitions(coalitions[b], len(tile), f" of text {b}") for b, tile in enumerate(tiles)]
        games = [
            part_games(text, tiles[b], checked[b], lengths[b].tolist(), f" of text {b}") for b, text in enumerate(texts)
        ]
        parts = [game for of_text in games for game in of_text]
        values = self.retrieval.coalition_values(
            *_joined(prompt_ids, [[game.search for game in of_text] for of_text in games]),
            [list(map(tuple, game.spans.tolist())) for game in parts],
            [game.masks for game in parts],
        )
        rest = iter(values)
        return [
            combine(of_text, [next(rest) for _ in of_text], len(rows), self.price)
            for of_text, rows in zip(games, checked, strict=True)
        ]

    def _best(self, prompt_ids: Sequence[str], texts: Sequence[str], price: float) -> NDArray[np.float64]:
        """The best metric among each episode's searches, less a price for each: float64 (B,)."""
        played = self._played(prompt_ids, texts)
        values = self.retrieval.rewards(*_joined(prompt_ids, played))
        of_texts = split_values(values, [len(searches) for searches in played])
        return np.array([settle(of_text[:, None], price)[0] for of_text in of_texts], dtype=np.float64)

    def _scored_searches(
        self, prompt_ids: Sequence[str], texts: Sequence[str]
    ) -> tuple[list[list[str]], list[NDArray[np.int64]]]:
        """The searches of each of B episodes, and how many characters of each count."""
        played = self._played(prompt_ids, texts)
        lengths = self.retrieval.scored(*_joined(prompt_ids, played))
        ends = np.cumsum([0, *(len(searches) for searches in played)])
        return played, [lengths[first:end] for first, end in pairwise(ends)]

    def _played(self, prompt_ids: Sequence[str], texts: Sequence[str]) -> list[list[str]]:
        """The searches of each episode that are played, after a check of the arguments."""
        self.retrieval.scored(prompt_ids, texts)  # types, lengths and ids, as one-step tasks check them
        return [episode_searches(text)[: self.max_turns] for text in texts]


def _joined(prompt_ids: Sequence[str], played: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Prompt ids and texts of all searches of B episodes, in order."""
    pairs = [(prompt_id, search) for prompt_id, searches in zip(prompt_ids, played, strict=True) for search in searches]
    return [prompt_id for prompt_id, _ in pairs], [search for _, search in pairs]
