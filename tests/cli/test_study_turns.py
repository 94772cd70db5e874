"""The part of the study in turns: its table by hand, its demonstrations, and a run of one cell."""

import json

import numpy as np
import pytest

from ospo_cli import study
from ospo_cli._study import turns
from ospo_cli._study.numbers import crossed_interval
from ospo_cli._study.turns import ARMS, KINDS, TurnCell, table


def cell(arm, seed, rewards):
    """A finished cell whose episodes are alike in both kinds."""
    played = {"rewards": rewards, "metrics": [0.5, 0.5, 0.5], "searches": [2, 1, 2]}
    start = {"rewards": [0.0, 0.0, 0.0], "metrics": [0.1, 0.1, 0.1], "searches": [1, 1, 1]}
    both = {"start": dict.fromkeys(KINDS, start), "end": dict.fromkeys(KINDS, played)}
    return {"arm": arm, "seed": seed, "steps": 5, "rollouts": 8, "price": 0.02, **both}


def test_the_table_pairs_seeds_and_queries():
    rewards = {"one": [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]], "two": [[0.2, 0.3, 0.4], [0.4, 0.3, 0.2]]}
    rewards["blind"] = [[0.0, 0.9, 0.0], [0.0, 0.0, 0.9]]
    cells = [cell(arm, seed, rewards[arm][seed]) for seed in (1, 0) for arm in ARMS]
    lines = table(cells, {"query": np.array([0.25, 0.35])}).splitlines()
    assert lines[0] == "search in turns on the embedded shop: 2 seeds, 5 steps of 8 episodes"
    assert "less 0.02 a search" in lines[1]
    assert next(line for line in lines if "scripted agent query" in line).split()[-1] == "0.300"
    two = [line for line in lines if line.startswith("  two turns ") and "hidden" not in line and "warm" not in line]
    assert len(two) == 2
    assert two[0].split("   ")[-1].strip() == "+0.100 [+0.100, +0.100]", "the difference is the same for every pair"
    assert "0.300     0.500      1.67" in two[0]
    blind = next(line for line in lines if "hidden  " in line and "warm" not in line)
    expected = crossed_interval(np.array(rewards["blind"]) - np.array(rewards["one"]))
    assert blind.endswith(f"{expected.value:+.3f} {expected.bounds('+.3f')}")
    assert expected.low < 0 < expected.high, "the negative control: a difference that is none has an interval around 0"


def test_demonstrations_of_two_turns_hold_what_is_read():
    task = TurnCell("two", 0, 1).task()
    single, every = task.retrieval.demonstrations(), turns._Demonstrations(task).demonstrations()
    assert every[: len(single)] == single
    (first, text), (second, _), *_ = every[len(single) :]
    assert first == second, "each order of a query's two rewrites"
    one, *titles, two = text.split("\n")
    assert titles == task.replies([first], [one])[0].splitlines()
    assert len(titles) == 3
    assert {one, two} <= {text for query_id, text in single if query_id == first}
    alone = TurnCell("one", 0, 1).task()
    firsts = [(query_id, text.split("\n")[0]) for query_id, text in every]
    assert turns._Demonstrations(alone).demonstrations() == firsts, "as many, with the same first searches"


@pytest.mark.exhaustive
def test_a_study_from_nothing_to_its_table_and_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    jobs = []

    def run_all(command, out, work, processes, label):
        for job in work:
            jobs.append(json.loads(job)["arm"])
            study.main(["turns", "--out", str(out), "--cell", job])

    monkeypatch.setattr(turns, "run_all", run_all)
    argv = ["turns", "--quick", "--seeds", "1", "--steps", "2", "--out", str(tmp_path)]
    study.main(argv)
    shown = capsys.readouterr().out
    assert jobs == list(ARMS)
    assert "1 seeds, 2 steps of 16 episodes" in shown
    study.main(argv)
    assert jobs == list(ARMS), "what is finished is kept"
    assert capsys.readouterr().out == shown
    content = json.loads(next(tmp_path.glob("turns-two-*.json")).read_text())
    assert len(content["rewards"]) == 2
    assert len(content["end"]["greedy"]["rewards"]) == 60
    assert max(content["end"]["sampled"]["searches"]) <= 2
