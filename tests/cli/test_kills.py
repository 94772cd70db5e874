"""Training killed by SIGKILL, wherever it is, and resumed: the same bytes as if it had not been."""

import random
import time

import pytest

from runs import kill, without_times
from small_run import command, log, manifest, run, weights, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def assert_same(out, whole):
    assert weights(out) == weights(whole)
    assert weights(out, "warmstart") == weights(whole, "warmstart")
    assert without_times(log(out)) == without_times(log(whole))
    assert manifest(out)["evaluations"]["asked"] == manifest(whole)["evaluations"]["asked"]
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}


def test_killed_in_the_warm_start_at_a_checkpoint_and_between_two(tmp_path, data):
    settings = {"data": data, "steps": 20, "save_steps": 4, "warm_start_epochs": 8}  # a second in which to kill it
    whole = run(tmp_path / "whole", **settings)
    out = tmp_path / "killed"
    kill(command(out, **settings), lambda: any(out.glob(".warmstart*")))
    assert not (out / "warmstart").exists()
    assert manifest(out)["status"] == "unfinished"
    partial = out / "checkpoints" / ".partial"
    kill(command(out, "--resume"), lambda: any(partial.glob("checkpoint-*")))
    log_file = out / "log.jsonl"
    kill(command(out, "--resume"), lambda: log_file.exists() and log_file.read_bytes().count(b"\n") > 9)
    assert not (out / "policy").exists()
    (kept,) = (out / "checkpoints").glob("checkpoint-*")
    assert int(kept.name.partition("-")[2]) >= 8
    (partial / "checkpoint-19").mkdir()  # one that was being written
    with log_file.open("a") as stream:
        stream.write('{"step": 19, "los')
    run(out, "--resume")
    assert_same(out, whole)


CASES = {
    "ospo": {"steps": 300, "save_steps": 3},
    "ospo, the best policy": {"steps": 300, "save_steps": 3, "eval_steps": 2, "keep": "best"},
    "dpo": {"steps": 300, "save_steps": 3, "algo": "dpo", "max_completion_length": 32},
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", CASES)
def test_killed_at_twenty_moments(tmp_path, data, case):
    """At seeded random moments of one run: so many lines after it went on, and up to a fifth of a second later."""
    settings = {"data": data, **CASES[case]}
    whole = run(tmp_path / "whole", **settings)
    out, moments = tmp_path / "killed", random.Random(case)
    lines = [out / "pairs.jsonl", out / "log.jsonl"]

    def written():
        return sum(path.read_bytes().count(b"\n") for path in lines if path.exists())

    for _ in range(20):
        flags, more = (["--resume"], {}) if (out / "run.json").exists() else ([], settings)
        wanted = written() + moments.randrange(1, 14)
        wait = moments.uniform(0, 0.2)
        kill(
            command(out, *flags, **more), lambda wanted=wanted, wait=wait: written() >= wanted and not time.sleep(wait)
        )
        assert manifest(out)["status"] == "unfinished"
    run(out, "--resume")
    assert_same(out, whole)
