"""Rows that set the engine beside the reference, on rollouts and on single games."""

from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents import AgentError
from ospo_agents.credit import Game, make_solution
from ospo_cli._benchmark.reference import reference_worth
from ospo_cli._benchmark.rows import Row, interleaved
from ospo_cli._benchmark.work import (
    CUTOFF,
    METRIC,
    Rollouts,
    fresh_task,
    graded_pools,
    make_rollouts,
    open_data,
    pool_gains,
)
from ospo_env.retrievers import Retriever
from ospo_env.task import RetrievalTask

__all__ = ["dense_rows", "game_rows", "lexical_rows", "reference_seconds", "time_rollouts"]

_LINEAR_PLAYERS = 10
_RELEVANT = 5


class Recorded:
    """A retriever that records the texts it scores and leaves all else to the one inside."""

    def __init__(self, inner: Retriever) -> None:
        self.name, self.fingerprint, self.linear = inner.name, inner.fingerprint, inner.linear
        self.rank_corpus, self.cuts_cleanly = inner.rank_corpus, inner.cuts_cleanly
        self._inner = inner
        self.texts: list[str] = []

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
        """Attributes of the retriever inside."""
        self.texts.extend(texts)
        return self._inner.score_pools(texts, pools)


def reference_seconds(task: RetrievalTask, rollouts: Rollouts, sample: int) -> tuple[float, int]:
    """Seconds that the reference takes for all coalitions, estimated from a random sample, and the sample's size."""
    pairs = rollouts.sample(sample, seed=1)
    pools = {prompt_id: pool_gains(task, prompt_id) for prompt_id in set(rollouts.prompt_ids)}

    def work() -> None:
        for b, c in pairs:
            reference_worth(task.retriever, rollouts.text_of(b, c), *pools[rollouts.prompt_ids[b]], CUTOFF)

    work()  # what the first call builds (a FAISS index, say) is not counted
    (seconds,) = interleaved([work], 1)
    return seconds / len(pairs) * rollouts.size, len(pairs)


def time_rollouts(
    task: RetrievalTask, rollouts: Rollouts, repeats: int, sample: int, published: RetrievalTask | None = None
) -> dict[str, Any]:
    """The engine with an empty cache beside the reference, on the same rollouts.

    Args:
        task: Task that the engine works on.
        rollouts: The work.
        repeats: Rounds of the engine.
        sample: Coalitions that the reference is timed on.
        published: Task that the reference works on; none means the same.
    """
    cold = [fresh_task(task.data, task.retriever) for _ in range(repeats + 1)]
    rollouts.worths(cold.pop())
    (engine,) = interleaved([lambda: rollouts.worths(cold.pop())], repeats)
    reference, sampled = reference_seconds(published or task, rollouts, sample)
    return {
        "coalitions": rollouts.size,
        "engine_seconds": engine,
        "reference_seconds": reference,
        "reference_sample": sampled,
        "ratio": reference / engine,
    }


def lexical_rows(arguments: Namespace) -> list[Row]:
    """Rows of bm25 and lsa on the corpus of ``--data``, or on the embedded sample."""
    data = open_data(arguments.data)
    rows = []
    for name in ("bm25", "lsa"):
        task = fresh_task(data, name)
        rollouts = make_rollouts(task, arguments.prompts, arguments.group, range(8, 13))
        timed = time_rollouts(task, rollouts, arguments.repeats, arguments.sample)
        work = f"{len(rollouts.texts)} rollouts, all windows, {name}, {data.documents.height:,} documents, cold cache"
        rows.append(Row(work, ">= 1,000x the reference", timed["ratio"], "x", least=1000, details=timed))
    return rows


def dense_rows(arguments: Namespace) -> list[Row]:
    """Rows of MiniLM beside the reference, which computes in fp32 as published, and beside its encoder alone."""
    if arguments.model is None:
        raise AgentError("--only dense: expected --model, the directory of a sentence-transformers model")
    data = open_data(arguments.dense_data)
    rows = []
    published: RetrievalTask | None = None
    for precision, least in (("fp32", 8.0), ("bf16", 20.0)):
        if precision == "bf16" and not arguments.bf16:
            continue
        dtype = {"fp32": "float32", "bf16": "bfloat16"}[precision]
        task = fresh_task(data, f"dense:{arguments.model}?device=cpu&dtype={dtype}")
        rollouts = make_rollouts(task, arguments.prompts, arguments.group, range(8, 13))
        published = published or task
        timed = time_rollouts(task, rollouts, max(1, arguments.repeats // 2), arguments.sample, published)
        work = f"{len(rollouts.texts)} rollouts, all windows, MiniLM {precision}, {data.documents.height:,} documents"
        rows.append(
            Row(f"{work}, cold cache", f">= {least:g}x the reference (fp32)", timed["ratio"], "x", least, None, timed)
        )
        if precision == "fp32":
            rows.append(_encoder_row(task, rollouts, arguments))
    return rows


def _encoder_row(task: RetrievalTask, rollouts: Rollouts, arguments: Namespace) -> Row:
    """Row of the same texts through the encoder's own batched call."""
    from sentence_transformers import SentenceTransformer

    recorded = Recorded(task.retriever)
    rollouts.worths(fresh_task(task.data, recorded))
    texts = list(dict.fromkeys(recorded.texts))
    model = SentenceTransformer(str(arguments.model), device="cpu", local_files_only=True)
    cold = [fresh_task(task.data, task.retriever) for _ in range(arguments.repeats)]
    engine, encoder = interleaved(
        [lambda: rollouts.worths(cold.pop()), lambda: model.encode(texts, batch_size=64, show_progress_bar=False)],
        max(1, arguments.repeats // 2),
    )
    details = {"texts": len(texts), "engine_seconds": engine, "encoder_seconds": encoder}
    return Row(
        "the same, of the encoder's own batched throughput", ">= 90 %", 100 * encoder / engine, "%", 90.0, None, details
    )


def game_rows(arguments: Namespace) -> list[Row]:
    """Rows of single games: worths a second of linear retrievers, exact Shapley values beside shapiq's."""
    data = graded_pools(open_data(None), _RELEVANT)
    rows = []
    for name in ("bm25", "lsa"):
        task = fresh_task(data, name)
        rollouts = make_rollouts(task, arguments.prompts, arguments.group, [_LINEAR_PLAYERS], "shapley")
        rollouts.worths(task)  # segments are known from here on: sums and metric are left
        (seconds,) = interleaved([partial(rollouts.worths, task)], 8 * arguments.repeats)  # of milliseconds each
        details = {"coalitions": rollouts.size, "seconds": seconds, "pool": 100, "relevant": _RELEVANT}
        work = f"linear worths, {name}, N = {_LINEAR_PLAYERS}, P = 100, {_RELEVANT} relevant, {METRIC} included"
        rows.append(Row(work, ">= 4,000,000 a second", rollouts.size / seconds, "a second", least=4e6, details=details))
    task = fresh_task(data, "bm25")
    return [*rows, *_shapley_rows(task, arguments)]


def _shapley_rows(task: RetrievalTask, arguments: Namespace) -> list[Row]:
    rows = []
    for n, most in ((16, 30.0),) if arguments.quick else ((16, 30.0), (20, 1000.0)):
        game = _game(task, n)
        credit = partial(_credit, game, n)
        credit()
        (seconds,) = interleaved([credit], arguments.repeats)
        work = f"exact Shapley values, N = {n} ({2**n:,} coalitions), bm25"
        rows.append(Row(work, f"<= {most:g} ms", 1000 * seconds, "ms", most=most))
        if n == 16:
            rows.append(_shapiq_row(game, n, seconds))
    return rows


def _shapiq_row(game: Game, n: int, seconds: float) -> Row:
    import shapiq  # slow to import, and needed only here

    computed: list[Any] = []

    def worths(coalitions: NDArray[np.bool]) -> NDArray[np.float64]:
        return np.asarray(game(coalitions), dtype=np.float64)

    (theirs,) = interleaved([lambda: computed.append(shapiq.ExactComputer(game=worths, n_players=n)("SV"))], 1)
    gap = float(np.abs(computed[0].get_n_order_values(1) - _credit(game, n)).max())
    details = {"seconds": seconds, "shapiq_seconds": theirs, "largest_difference": gap}
    work = f"the same beside shapiq {version('shapiq')} on one game object"
    return Row(work, ">= 40x", theirs / seconds, "x", least=40.0, details=details)


def _game(task: RetrievalTask, n: int) -> Game:
    """A rewrite of n segments as a callable on coalitions."""
    rollouts = make_rollouts(task, 1, 1, [n], "leave_one_out")
    texts = (rollouts.prompt_ids, rollouts.texts, rollouts.spans)
    return lambda coalitions: task.coalition_values(*texts, [np.asarray(coalitions, dtype=bool)])[0]


def _credit(game: Game, n: int) -> NDArray[np.float64]:
    """Exact Shapley values of a game of n players: float64 (n,)."""
    solution = make_solution("shapley", budget=2**n)
    plan = solution.plan(n)
    return solution.solve(plan, np.asarray(game(plan)))
