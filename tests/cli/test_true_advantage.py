"""True advantages by Monte Carlo against a policy of known values in closed form, and the table's statistics."""

import numpy as np
import pytest

from ospo_agents.rollouts import CreditedRollouts
from ospo_cli._study import cells, plan, true_advantage
from ospo_cli._study.advantage_tables import corrected_correlation, true_advantages
from ospo_cli._study.plan import Cell
from ospo_cli._study.processes import read_cell
from small_run import write_data

END, GOOD, BAD = 0, 1, 2


class CoinPolicy(true_advantage._Model):
    """Each token is the good word, the bad one or the end, with a third each; no bound on the length."""

    def continued(self, contexts, begun):
        return [self._one(list(tokens)) for tokens in begun]

    def _one(self, tokens):
        while not tokens or tokens[-1] != END:
            tokens.append(int(RANDOM.integers(3)))
        return tokens

    def rewards(self, task, ids, completions):
        return np.array([float(GOOD in tokens) for tokens in completions])


RANDOM = np.random.default_rng(0)
COMPLETIONS = [[GOOD, BAD, GOOD, END], [BAD, BAD, END]]
SEGMENT = np.array([[0, 1, 2, -1], [0, 1, -1, -1]])
ROLLOUTS = CreditedRollouts(
    advantages=np.array([1.0, -1.0]),
    rewards=np.array([1.0, 0.0]),
    credit=np.array([[1.0, 0.0, 0.0], [0.0, 0.0, np.nan]]),
    segment=SEGMENT,
    mask=np.array([[True] * 4, [True] * 3 + [False]]),
    group=np.array([0, 0]),
    separator=np.array([[False, False, False, True], [False, False, True, False]]),
    phrase=np.array([[7, 8, 7], [8, 8, -1]]),
)


def compared(continuations):
    model = CoinPolicy(None, None, None, longest=99)
    means, variances = true_advantage._values(model, None, ["q", "q"], [[], []], COMPLETIONS, ROLLOUTS, continuations)
    laid = {"x": (ROLLOUTS, np.arange(8.0).reshape(2, 4))}
    return true_advantage._compared(ROLLOUTS, laid, means, variances)


def test_true_advantages_are_those_of_the_closed_form():
    """From a state without the good word, the reward is p = 1/3 + p/3 = 1/2; with it, 1; at the end of bad words, 0."""
    report = compared(4_000)
    words, separators = report["words"], report["separators"]
    spread = np.std([1, 0], ddof=1)
    # good after nothing; bad after good; good again; bad after nothing; bad after bad
    np.testing.assert_allclose(words["true"], np.array([0.5, 0, 0, 0, 0]) / spread, atol=0.05)
    np.testing.assert_allclose(separators["true"], np.array([0, -0.5]) / spread, atol=0.05)  # the two ends
    assert words["repeat"] == [False, False, True, False, True]
    assert words["laid"]["x"] == [0, 1, 2, 4, 5]
    assert separators["laid"]["x"] == [3, 6]


def test_the_variance_of_the_noise_is_that_of_repeated_measurements():
    reports = [compared(20)["words"] for _ in range(300)]
    measured = np.array([report["true"] for report in reports])
    stated = np.mean([report["noise"] for report in reports], axis=0)
    np.testing.assert_allclose(measured.var(axis=0, ddof=1), stated, rtol=0.3, atol=1e-12)


def test_a_query_of_equal_rewards_tells_nothing():
    means, variances = {(0, 0, False): 0.0, (0, 0, True): 1.0}, {(0, 0, False): 0.0, (0, 0, True): 0.0}
    flat = CreditedRollouts(
        **{**vars(ROLLOUTS), "rewards": np.array([1.0, 1.0]), "segment": np.array([[0, -1, -1, -1], [-1] * 4])}
    )
    report = true_advantage._compared(flat, {}, means, variances)
    assert report["words"]["true"] == []


def test_correlation_is_corrected_for_noise():
    random = np.random.default_rng(1)
    true, cluster = random.normal(size=20_000), np.arange(20_000) // 50
    laid = 0.6 * true + 0.8 * random.normal(size=true.size)
    noisy, noise = true + 2 * random.normal(size=true.size), np.full(true.size, 4.0)
    corrected = corrected_correlation(laid, noisy, noise, cluster)
    assert corrected.low < 0.6 < corrected.high
    assert abs(corrected.value - 0.6) < 0.05
    assert corrected_correlation(laid, noisy, 0 * noise, cluster).value < 0.35  # not corrected
    assert np.isnan(corrected_correlation(np.ones(100), true[:100], noise[:100], cluster[:100]).value)


def test_one_measurement_from_the_warm_start_and_after_training(tmp_path, monkeypatch):
    data = str(write_data(tmp_path))
    monkeypatch.setattr(cells, "TASKS", {"shopping": plan.StudyTask("OSPO-ESCI-v0", 1)})
    reports = []
    for steps in (0, 1):
        settings = {"queries": 2, "continuations": 2}
        cell = Cell("shopping", "true-advantage", settings, 0, steps, 1, "validation", data=data)
        if not cell.warm_path(tmp_path).is_dir():
            cells.warm_start_cell(cell, cell.warm_path(tmp_path))
        true_advantage.measure_true_advantages(cell, cell.warm_path(tmp_path), cell.path(tmp_path))
        reports.append(read_cell(tmp_path, cell))
        first = cell.path(tmp_path).read_bytes()
        true_advantage.measure_true_advantages(cell, cell.warm_path(tmp_path), cell.path(tmp_path))
        assert cell.path(tmp_path).read_bytes() == first
    for report in reports:
        for kind in ("words", "separators"):
            sizes = {len(report[kind][name]) for name in ("query", "true", "noise")}
            assert sizes == {len(laid) for laid in report[kind]["laid"].values()}
        assert set(report["words"]["laid"]) == set(true_advantage.COMPARED)
    if reports[0]["words"]["true"]:
        assert "| grpo |" in true_advantages("shopping", reports[:1])


@pytest.mark.parametrize("name", [name for name, scheme in true_advantage.COMPARED.items() if scheme])
def test_every_scheme_exists(name):
    scheme = true_advantage.COMPARED[name]
    true_advantage.make_redistribution(scheme.redistribution, **scheme.settings)
    true_advantage.make_solution(scheme.solution, **scheme.solution_settings)
