"""What a report takes for a file of ospo evaluate --json."""

import copy
import functools
import json
from pathlib import Path

import numpy as np
import pytest

from ospo_agents import AgentError
from ospo_cli._report.evaluation import read_evaluation
from ospo_cli._report.runs import Run
from ospo_env.evaluation.summary import summarise

RUN = Run(Path("run"), {"data_fingerprint": "f" * 64}, [])
POLICIES = ("query", "run")


@functools.cache
def written():
    """Two policies under two retrievers, as ``ospo evaluate --json`` writes them."""
    by_metric = {name: np.array([0.25, 0.5]) for name in ("nDCG@10", "RR", "R@10")}
    values = {policy: {retriever: by_metric for retriever in ("bm25", "lsa")} for policy in POLICIES}
    summary = summarise(values, values["query"])
    each = {retriever: [0.25, 0.5] for retriever in ("bm25", "lsa")}
    rest = {"values": each, "rewrites": [["red coat"], ["wool"]]}
    return {
        "env": "OSPO-ESCI-v0",
        "data_fingerprint": "f" * 64,
        "split": "test",
        "metric": "nDCG@10",
        "candidates": "pool",
        "queries": 2,
        "temperature": 0.0,
        "query_ids": ["q1", "q2"],
        "raw_values": each,
        "policies": {policy: {"stage": None, "trained_on": None, **rest, **row} for policy, row in summary.items()},
    }


def evaluation():
    return copy.deepcopy(written())


def without(*keys):
    """An evaluation without what lies under these keys."""
    inner = found = evaluation()
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    return found


def read(path, content):
    path.write_text(json.dumps(content))
    return read_evaluation(path, RUN)


def test_a_whole_one_is_read(tmp_path):
    assert read(tmp_path / "eval.json", evaluation()) == evaluation()


def test_one_of_an_earlier_version_is_read(tmp_path):
    """Evaluations told neither signs nor single queries."""
    content = evaluation()
    del content["query_ids"], content["raw_values"]
    for row in content["policies"].values():
        del row["signs"], row["values"], row["rewrites"]
    assert read(tmp_path / "eval.json", content) == content


@pytest.mark.parametrize("policy", POLICIES)
def test_one_in_which_something_is_missing_is_refused(tmp_path, policy):
    row = ("policies", policy)
    missing = [
        *((key,) for key in evaluation() if key != "query_ids"),
        *((*row, key) for key in evaluation()["policies"][policy]),
        *((*row, kind, "lsa") for kind in ("metrics", "intervals", "gains")),
        *((*row, kind, "lsa", "RR") for kind in ("metrics", "intervals", "gains")),
        *((*row, "signs", "lsa", "nDCG@10", key) for key in ("wins", "ties", "losses", "p_value")),
        *((*row, kind, "lsa") for kind in ("values", "signs")),
        *((*row, "rewrites", 1), (*row, "rewrites", 1, 0), (*row, "values", "bm25", 1), ("query_ids", 0)),
        (*row, "gains", "bm25", "nDCG@10", 2),
    ]
    for keys in missing:
        with pytest.raises(AgentError, match=r"wrote, .*eval.json is none; evaluate again$"):
            read(tmp_path / "eval.json", without(*keys))


@pytest.mark.parametrize(
    "changes",
    [
        {"policies": {}},
        {"policies": []},
        {"policies": {"query": {}}},
        {"policies": {"query": None}},
        {"policies": {"query": evaluation()["policies"]["query"] | {"metrics": {}}}},
        {"policies": {"query": evaluation()["policies"]["query"] | {"trained_on": ["bm25"]}}},
        {"policies": {"query": evaluation()["policies"]["query"] | {"rewrites": [["red"], [3]]}}},
        {"policies": {"query": evaluation()["policies"]["query"] | {"rewrites": [["red"], "coat"]}}},
        {"policies": {"query": evaluation()["policies"]["query"] | {"completions_cut": "one"}}},
        {"policies": {"query": evaluation()["policies"]["query"] | {"values": {"bm25": [0, 1], "lsa": [0, None]}}}},
        {"query_ids": ["q1", "q1"]},
        {"query_ids": ["q1", 2]},
        {"metric": "R@1000"},
        {"metric": ["RR"]},
        {"data_fingerprint": 3},
        {"queries": "many"},
        {"queries": 10**400},
        {"temperature": float("inf")},
    ],
    ids=", ".join,
)
def test_one_of_another_kind_is_refused(tmp_path, changes):
    with pytest.raises(AgentError, match=r"wrote, .*eval.json is none; evaluate again$"):
        read(tmp_path / "eval.json", evaluation() | changes)
