"""Two processes on CPU train what one process with the whole batch does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import process_run
from paths import ROOT

REPLAYED = ["dr_grpo", "dapo", "accumulated", "adapter"]


def launch(directory, processes=2):
    """What ``torchrun`` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    running = [
        subprocess.Popen(
            [sys.executable, str(Path(process_run.__file__)), str(directory)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        outputs = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    for process, text in zip(running, outputs, strict=True):
        assert process.returncode == 0, text[-3000:]
    return [torch.load(directory / f"rank-{rank}.pt", weights_only=False) for rank in range(processes)]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("processes"))


@pytest.fixture(scope="module")
def one():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
        return {case: process_run.train(case, 1) for case in REPLAYED}


@pytest.mark.parametrize("case", process_run.CASES)
def test_every_process_holds_the_same_weights_after_each_step(two, case):
    first, second = (rank[case]["steps"] for rank in two)
    assert len(first) == len(second) == process_run.CASES[case].get("max_steps", 3)
    for ours, theirs in zip(first, second, strict=True):
        assert torch.equal(ours, theirs)
    before = two[0][case]["before"]
    for after in first:  # negative control: weights that did move are seen to
        assert not torch.equal(before, after)
        before = after


def batches(measured, case, size):
    rollouts = measured[case]["rollouts"]
    return [rollouts[start : start + size] for start in range(0, len(rollouts), size)]


def joined(two, case):
    """The rollouts of both processes in the order of the whole batch."""
    halves = [batches(rank, case, process_run.BATCH // 2) for rank in two]
    return [row for first, second in zip(*halves, strict=True) for row in (*first, *second)]


def advantages_of(rollouts):
    return np.concatenate([advantages for _, _, advantages in rollouts])


def test_groups_lie_on_both_processes(two):
    first, second = (batches(rank, "dr_grpo", process_run.BATCH // 2)[0] for rank in two)
    assert [row[0] for row in first[4:]] == [row[0] for row in second[:2]]
    assert first[0][0] != first[4][0] != second[2][0]


@pytest.mark.parametrize("case", REPLAYED)
def test_credit_lies_on_each_processs_own_rollouts(two, one, case):
    both, whole = joined(two, case), one[case]["rollouts"]
    assert [row[:2] for row in both] == [row[:2] for row in whole]
    np.testing.assert_allclose(advantages_of(both), advantages_of(whole), rtol=1e-12, atol=1e-12)


def test_statistics_that_are_not_gathered_lay_something_else(two, one):
    """The negative control of the test above and of the one below."""
    both, whole = joined(two, "local"), one["dr_grpo"]["rollouts"]
    assert [row[:2] for row in both] == [row[:2] for row in whole]
    assert np.abs(advantages_of(both) - advantages_of(whole)).max() > 0.1
    assert distance(two[0]["local"], one["dr_grpo"]) > 1e-2


def distance(measured, expected):
    """The largest difference of two updates, in units of the update."""
    update, target = (run["steps"][-1] - run["before"] for run in (measured, expected))
    return float((update - target).norm() / target.norm())


@pytest.mark.parametrize("case", REPLAYED)
def test_the_update_is_that_of_one_process(two, one, case):
    update, target = (run[case]["steps"][-1] - run[case]["before"] for run in (two[0], one))
    assert target.abs().max() > 1e-4
    assert distance(two[0][case], one[case]) < 1e-5
    np.testing.assert_allclose(update, target, rtol=1e-5, atol=1e-5 * float(target.abs().max()))


def test_metrics_are_of_all_processes(two, one):
    expected = one["dr_grpo"]["logged"][-1]
    for rank in two:
        measured = rank["dr_grpo"]["logged"][-1]
        for name in ("reward", "segments", "credit_spread", "malformed"):
            np.testing.assert_allclose(measured[name], expected[name], rtol=1e-6)
    counts = [rank["dr_grpo"]["asked"] for rank in two]
    assert min(counts) > 0
    assert two[0]["dr_grpo"]["logged"][-1]["evaluations/asked"] == sum(counts) == one["dr_grpo"]["asked"]


def test_processes_sample_their_own_rollouts(two):
    first, second = (rank["generated"]["rollouts"] for rank in two)
    assert first[4][0] == second[0][0]  # one prompt
    assert first[4][1] != second[0][1]


def test_the_first_process_saves_the_policy_and_both_open_it(two):
    (place, first), (other, second) = (rank["saved"] for rank in two)
    assert place == other
    assert (first, second) == (1, 0)
    path = Path(place)
    assert (path / "model.safetensors").is_file()
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["policy", "rank-0.pt", "rank-1.pt"]
