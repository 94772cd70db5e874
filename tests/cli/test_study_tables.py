"""The study's numbers on cases worked by hand, and its tables."""

import numpy as np
import pytest

from ospo_cli._study import numbers, tables
from ospo_env.evaluation.intervals import Interval, mean_interval, seed_interval


def a_run(curve, **fields):
    """A finished run as its file has it."""
    points = [{"rollouts": 64.0 * i, "greedy": value, "sampled": value / 2} for i, value in enumerate(curve)]
    return {
        "curve": points, "ids": ["q1", "q2"], "split": "test", "log": {"completions/mean_length": [9.0]}, **fields
    }  # fmt: skip


class TestNumbers:
    def test_interval_over_a_few_seeds_covers(self):
        """Student's covers 95 % of the time with three seeds; the bootstrap does not."""
        drawn = np.random.default_rng(0).normal(size=(2000, 3))
        covered, narrow = 0, 0
        for row in drawn:
            found = seed_interval(row)
            covered += found.low <= 0 <= found.high
        for row in drawn[:300]:
            found = mean_interval(row, 500)
            narrow += found.low <= 0 <= found.high
        assert 0.935 < covered / 2000 < 0.965
        assert narrow / 300 < 0.85
        for of_one in (seed_interval([0.5]), mean_interval([0.5])):
            assert np.isnan([of_one.low, of_one.high]).all()
            assert str(of_one) == "0.500 [unknown]"
            assert Interval.of_json(of_one.as_json()).as_json() == [0.5, None, None]

    def test_interval_covers_and_is_reproducible(self):
        covered = 0
        for seed in range(60):
            drawn = np.random.default_rng(seed).normal(size=30)
            found = mean_interval(drawn)
            covered += found.low <= 0 <= found.high
            assert found.low <= found.value <= found.high
        assert 50 <= covered < 60  # about 95 %
        assert mean_interval(drawn) == found

    def test_rollouts_to_reach(self):
        rollouts = np.array([0.0, 100.0, 200.0])
        assert numbers.rollouts_to_reach(rollouts, np.array([0.2, 0.1, 0.4]), 0.2) == 0
        assert numbers.rollouts_to_reach(rollouts, np.array([0.0, 0.25, 0.5]), 0.375) == 150
        assert numbers.rollouts_to_reach(rollouts, np.array([0.0, 0.25, 0.5]), 0.51) == float("inf")

    def test_share_of_rollouts(self):
        rollouts = np.array([0.0, 100.0, 200.0])
        slow = np.array([[0.0, 0.25, 0.5], [0.0, 0.25, 0.5]])
        fast = np.array([[0.0, 0.5, 0.5], [0.0, 0.5, 0.75]])
        assert numbers.share_of_rollouts(rollouts, fast, slow) == (0.5, 0.5, 0.5)
        assert numbers.share_of_rollouts(rollouts, slow, slow).value == 1
        never = numbers.share_of_rollouts(rollouts, slow, fast)
        assert never.value == never.high == float("inf")

    def test_transfer_is_a_ratio_of_means(self):
        found = numbers.transfer(np.array([0.1, 0.3]), np.array([0.1, 0.1]))
        assert found.value == pytest.approx(0.5)
        assert found.low == pytest.approx(1 / 3)
        assert found.high == pytest.approx(1)

    def test_area_under_roc(self):
        labels = np.array([False, True, True])
        assert numbers.area_under_roc(np.array([0.0, 1.0, 2.0]), labels) == 1
        assert numbers.area_under_roc(np.array([2.0, 1.0, 0.0]), labels) == 0
        assert numbers.area_under_roc(np.ones(3), labels) == 0.5
        assert np.isnan(numbers.area_under_roc(np.ones(3), np.ones(3, dtype=bool)))

    def test_area_within_groups_does_not_compare_groups(self):
        scores, labels = np.array([1.0, 2.0, 8.0, 9.0]), np.array([False, True, False, True])
        groups = np.array([0, 0, 1, 1])
        assert numbers.area_within_groups(scores, labels, groups) == 1
        assert numbers.area_under_roc(scores, labels) == 0.75
        assert np.isnan(numbers.area_within_groups(scores, labels, np.arange(4)))

    def test_groups_weigh_as_their_pairs(self):
        scores, labels = np.array([1.0, 2.0, 3.0, 2.0, 1.0]), np.array([False, True, True, False, True])
        assert numbers.area_within_groups(scores, labels, np.array([0, 0, 0, 1, 1])) == pytest.approx(2 / 3)


class TestTables:
    def test_no_share_of_what_was_not_gained(self):
        runs = {"grpo": [a_run([0.2, 0.3, 0.2])] * 2, "ospo": [a_run([0.2, 0.4, 0.6])] * 2}
        assert "grpo gained nothing" in tables.differences("shopping", runs, {"grpo": 1e-4, "ospo": 3e-4})
        assert tables._transferred(np.array([-0.1, -0.1]), np.array([-0.2, -0.2])) == "no gain there"

    RUNS = {"grpo": [a_run([0.2, 0.3, 0.4])] * 2, "ospo": [a_run([0.2, 0.4, 0.6])] * 2}  # noqa: RUF012

    def test_differences(self):
        printed = tables.differences("shopping", self.RUNS, {"grpo": 1e-4, "ospo": 3e-4})
        (row,) = [line for line in printed.splitlines() if line.startswith("| ospo")]
        shares = [cell.strip() for cell in row.split("|")]
        assert shares[2:6] == ["0.0003", "0.300 [0.300, 0.300]", "0.100 [0.100, 0.100]", "0.500 [0.500, 0.500]"]
        assert "2 seeds" in printed
        assert "2 test queries" in printed

    def test_curves(self):
        rows = [line for line in tables.curves("shopping", self.RUNS).splitlines() if line.startswith("| 64 ")]
        assert rows == [
            "| 64 | 0.150 [0.150, 0.150] | 0.200 [0.200, 0.200] | 0.300 [0.300, 0.300] | 0.400 [0.400, 0.400] |"
        ]

    def test_ablations(self):
        rows = tables.ablations("shopping", self.RUNS).splitlines()
        (row,) = [line for line in rows if line.startswith("| ospo")]
        assert "| default |" in row
        assert "0.100 [0.100, 0.100]" in row
        assert row.endswith("| 9.0 |")

    def test_out_of_distribution(self, monkeypatch):
        gains = {"bm25": {"grpo": (0.2, 0.4), "ospo": (0.2, 0.6)}, "lsa": {"grpo": (0.1, 0.2), "ospo": (0.1, 0.5)}}

        def judged(task, runs, retriever, data, kind):
            return {
                name: dict(
                    zip(("before", "after"), (np.full(2, value) for value in gains[retriever][name]), strict=True)
                )
                for name in runs
            }

        monkeypatch.setattr(tables, "measure_transfer", judged)
        printed = tables.out_of_distribution("shopping", self.RUNS, ["lsa"])
        (row,) = [line for line in printed.splitlines() if line.startswith("| lsa")]
        values = [cell.strip().split()[0] for cell in row.strip("|").split("|")]
        assert values == ["lsa", "0.100", "0.200", "0.500", "0.100", "0.400", "0.500", "1.000", "0.300"]

    def test_repetition(self):
        runs = {"grpo": [], "ospo": []}
        for texts in (["red coat, wool", "red coat"], ["Red coat, red coat, wool, red coat", "hat"]):
            runs["grpo"].append({**a_run([0.2]), "rewrites": {"before": texts, "after": texts[::-1]}})
            runs["ospo"].append({**a_run([0.2]), "rewrites": {"before": texts, "after": ["hat, hat, hat"]}})
        rows = {
            line.split("|")[1].strip(): line for line in tables.repetition("shopping", runs).splitlines() if "|" in line
        }
        assert [cell.split()[0] for cell in rows["warm start"].split("|")[3:5]] == ["2.000", "1.500"]
        assert [cell.split()[0] for cell in rows["ospo"].split("|")[3:5]] == ["3.000", "1.000"]
        assert "sampled" not in "".join(rows.values())

    def test_accuracy(self):
        areas = {"all": 0.9, "same query": 0.8}
        report = {
            "credit": {"shapley": {**areas, "evaluations": 32.0}},
            "advantages": {"additive": areas},
            "right": 0.4,
        }
        printed = tables.accuracy("shopping", [report, report])
        assert "| shapley | 0.900 [0.900, 0.900] | 0.800 [0.800, 0.800] | 32.0 |" in printed
        assert "40% of segments are right" in printed
