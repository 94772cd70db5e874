"""The benchmark: its baseline equals the engine where the two procedures agree, and its table says the truth."""

import importlib.util
import json
import time

import numpy as np
import pytest

from ospo_agents import AgentError
from ospo_cli import benchmark
from ospo_cli._benchmark.calls import game_errors
from ospo_cli._benchmark.credit import credit_rows
from ospo_cli._benchmark.curves import _exponent, _with_documents, _with_pools
from ospo_cli._benchmark.engine import Recorded, reference_seconds, time_rollouts
from ospo_cli._benchmark.engines import engine_rows, slow_engine
from ospo_cli._benchmark.estimators import Accuracy, TableGame, accuracy, comparison, estimators, worth_tables
from ospo_cli._benchmark.reference import reference_worth
from ospo_cli._benchmark.report import markdown, terminal_row
from ospo_cli._benchmark.rows import Row, interleaved
from ospo_cli._benchmark.serve import load_of
from ospo_cli._benchmark.work import CUTOFF, fresh_task, graded_pools, make_rollouts, pool_gains
from ospo_cli._serve.answers import Answers
from ospo_cli._serve.app import make_app
from ospo_cli._serve.metrics import Metrics
from ospo_cli._serve.service import Service
from rewrite_server import RewriteServer
from shop import EachWordOnce, shop


@pytest.mark.parametrize("name", ["bm25", "lsa"])
def test_the_reference_is_the_engines_equal_where_the_whole_pool_is_reached(name):
    task = fresh_task(shop(), name)
    rollouts = make_rollouts(task, 3, 2, [2, 3, 4])
    assert rollouts.size > 40
    engine = rollouts.worths(task)
    cut = []
    for b, worths in enumerate(engine):
        known = pool_gains(task, rollouts.prompt_ids[b])
        texts = [rollouts.text_of(b, c) for c in range(len(worths))]
        plain = [reference_worth(task.retriever, text, *known, CUTOFF) for text in texts]
        np.testing.assert_allclose(worths, plain, rtol=1e-12)
        cut += [reference_worth(task.retriever, text, *known, CUTOFF, depth=5) for text in texts]
    assert not np.allclose(np.concatenate(engine), cut)  # negative control: cut above the pool, the procedures differ
    assert np.concatenate(engine).max() > 0.3


def test_both_are_timed_on_the_same_coalitions():
    task = fresh_task(shop(), "bm25")
    rollouts = make_rollouts(task, 2, 2, [3])
    timed = time_rollouts(task, rollouts, 1, 5)
    assert timed["coalitions"] == rollouts.size == sum(map(len, rollouts.coalitions))
    assert timed["reference_sample"] == 5
    assert timed["ratio"] == timed["reference_seconds"] / timed["engine_seconds"]
    assert reference_seconds(task, rollouts, 10**6)[1] == rollouts.size
    assert len(set(rollouts.sample(7, seed=3))) == 7


def test_credit_of_a_step_is_timed_without_its_rewards():
    (row,) = credit_rows(benchmark.parse(["--only", "credit", "--quick"]))
    (seconds,), (segments,) = row.details["seconds"], row.details["segments"]
    assert row.measured == 1e3 * seconds > 0
    assert 8 < segments < 14, "a comma after three words on average, and phrases of three words at most"


def test_a_recorded_retriever_is_the_one_inside():
    task = fresh_task(shop(), "bm25")
    rollouts = make_rollouts(task, 2, 1, [3])
    recorded = Recorded(task.retriever)
    for one, other in zip(rollouts.worths(task), rollouts.worths(fresh_task(shop(), recorded)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(recorded.texts) == 2 * (1 + 3)


def test_rollouts_tile_their_texts():
    rollouts = make_rollouts(fresh_task(shop(), "bm25"), 2, 3, [2, 5])
    assert {len(spans) for spans in rollouts.spans} <= {2, 5}
    for text, spans in zip(rollouts.texts, rollouts.spans, strict=True):
        assert "".join(text[start:end] for start, end in spans) == text


def test_interleaved_takes_the_best_of_rounds_in_turn():
    times = iter([0.0, 5.0, 5.0, 6.0, 10.0, 13.0, 13.0, 20.0])
    order = []
    works = [lambda: order.append("a"), lambda: order.append("b")]
    assert interleaved(works, 2, clock=lambda: next(times)) == [3.0, 1.0]
    assert order == ["a", "b", "a", "b"]


def test_data_of_other_sizes():
    data = graded_pools(shop(), 2)
    assert data.qrels.group_by("query_id").len()["len"].max() == 2
    assert set(_with_pools(shop(), 20).pools["doc_rows"].list.len()) == {20}
    assert _with_documents(shop(), 200).documents.height == 200
    assert fresh_task(_with_pools(shop(), 20), "bm25").rewards(["q00"], ["red coat"])[0] > 0
    assert _exponent([1, 2, 4], [1.0, 2.0, 4.0]) == pytest.approx(1.0)
    assert _exponent([1, 2, 4], [1.0, 2.0, 8.0]) == pytest.approx(2.0)


def test_the_table():
    rows = [
        Row("a", ">= 2x", 3.0, "x", least=2.0),
        Row("b", "<= 1 s", 1.5, "s", most=1.0),
        Row("c", "-", 1234567.0, ""),
    ]
    assert [row.met for row in rows] == [True, False, True]
    assert terminal_row(rows[1]).startswith("MISSED")
    page = markdown(rows, "python scripts/benchmark.py")
    assert "| a | >= 2x | 3x | yes |" in page
    assert "| b | <= 1 s | 1.5 s | no |" in page
    assert "1,234,567" in page


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ospo_cli._benchmark.engine.open_data", lambda path: shop())
    benchmark.main(["--only", "lexical", "--quick", "--out", str(tmp_path / "out")])
    assert "bm25" in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert [row["unit"] for row in written["rows"]] == ["x", "x"]
    assert (tmp_path / "out" / "benchmark.md").read_text().count("\n| ") == 3
    assert not (tmp_path / "out" / "benchmark.png").exists()


def test_what_cannot_be_measured_is_said():
    with pytest.raises(AgentError, match="--model"):
        benchmark.main(["--only", "dense"])
    assert not {"calls", "dense", "warm", "real-size"} & set(benchmark.parse([]).only)
    with pytest.raises(AgentError, match="--only calls: expected --model"):
        benchmark.main(["--only", "calls"])
    assert {"calls", "dense", "warm"} <= set(benchmark.parse(["--model", "somewhere"]).only)
    with pytest.raises(AgentError, match="--threads: expected at least 1"):
        benchmark.parse(["--threads", "0"])


def test_real_size_needs_an_empty_directory(tmp_path):
    with pytest.raises(AgentError, match="expected --scratch"):
        benchmark.main(["--only", "real-size", "--quick"])
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(AgentError, match="expected a new or empty directory"):
        benchmark.main(["--only", "real-size", "--quick", "--scratch", str(tmp_path)])


class TestEstimators:
    def test_accuracy_by_hand(self):
        games = [TableGame(np.array([0.0, 1.0, 0.0, 1.0])), TableGame(np.array([0.0, 0.0, 2.0, 2.0]))]  # (1, 0), (0, 2)
        found = accuracy(lambda game, budget, seed: np.array([1.0, 1.0]), games, 4)
        assert found[:2] == (np.median([1.0, (1 + 1) / 4]), 0.5)
        assert accuracy(lambda game, budget, seed: game(np.eye(2, dtype=bool)), games, 4)[:2] == (0.0, 1.0)

    def test_every_estimator_is_exact_or_better_with_more_evaluations(self):
        tables = worth_tables(shop(), "bm25", [5], 3)
        for name, estimator in estimators().items():
            few, all_of_them = (accuracy(estimator, tables[5], budget).error for budget in (12, 32))
            assert all_of_them < 1e-8, name
            assert few > all_of_them, name

    def test_a_bound_on_calls_is_exact_at_the_end_and_for_sums(self):
        sums = game_errors(fresh_task(shop(), "bm25"), 4, 2)
        texts = game_errors(fresh_task(shop(), EachWordOnce(fresh_task(shop(), "bm25").retriever, linear=False)), 4, 2)
        assert len(sums) == len(texts) == 2
        for one in sums:
            assert (one.at_the_end, set(one.bounded[8])) == (0.0, {0.0})
        for one in texts:
            assert one.at_the_end == 0.0
            assert max(one.bounded[8]) > 0.0
            assert set(one.bounded) == set(one.permutations) == {8}


def test_estimators_are_compared_by_their_medians_where_none_is_exact():
    cells = {
        (kind, n, name, budget): Accuracy(error * n / budget, top, 1.0)
        for kind, error, top in (("a", 1.0, 1.0), ("b", 2.0, 0.5), ("c", 9.0, 0.0))
        for n in (8, 10)
        for name in ("one", "other")
        for budget in (100, 200)
    }
    assert comparison(cells).splitlines() == [
        "| N | estimator | 100 | 200 | top phrase right at 200 |",
        "|---|---|---|---|---|",
        "| 10 | one | 0.2 | 0.1 | 0.50 |",
        "| 10 | other | 0.2 | 0.1 | 0.50 |",
    ]


@pytest.mark.skipif(importlib.util.find_spec("tantivy") is None, reason="tantivy is not installed")
def test_engines_are_timed_on_what_they_answer():
    rows = engine_rows(benchmark.parse(["--only", "engines", "--quick"]))
    step, evaluation, slow = rows
    assert [row.most for row in rows] == [1.5, 10.0, 2.0]
    assert step.details["texts"] == slow.details["texts"] > 20
    assert "100 queries" in evaluation.work
    at_least = 0.005 * slow.details["texts"] / 8  # eight at once, 5 ms each
    assert at_least <= slow.measured < 2.0


def test_the_slow_server_answers_with_documents(tmp_path):
    with slow_engine(shop(), tmp_path) as spec:
        one = fresh_task(shop(), spec)
        assert one.rewards(["q00"], ["red coat"])[0] > 0
        assert not np.array_equal(
            *one.retriever.score_pools(["red", "blue"], np.arange(61, dtype=np.int32)[None].repeat(2, 0))
        )


class TestServe:
    """The load that is timed, on a service of a policy that takes a known time."""

    def served(self, policy):
        service = Service(Answers(policy, fresh_task(shop(), "bm25")), Metrics())
        return RewriteServer("--policy", "none", app=make_app(service, {}))

    def test_figures_of_a_load(self):
        batches = []

        def policy(ids, prompts):
            batches.append(len(prompts))
            time.sleep(0.05)
            return [f"red {prompt}" for prompt in prompts]

        with self.served(policy) as server:
            alone = load_of(server.port, 1, 4, ["coat", "bag"])
            assert batches == [1] * 4
            together = load_of(server.port, 8, 32, [f"coat {number}" for number in range(32)])
        assert sum(batches[4:]) == 32
        assert max(batches[4:]) > 1
        for load in (alone, together):
            assert 0.05 <= load.p50 <= load.p99
            assert load.cpu > 0
        assert alone.rate <= 1 / 0.05
        assert together.rate <= 8 / 0.05

    def test_what_is_no_rewrite_is_an_error(self):
        with self.served(lambda ids, prompts: 1 / 0) as server, pytest.raises(AgentError, match="expected a rewrite"):
            load_of(server.port, 2, 4, ["coat"])
