"""What a report takes for a file of ospo evaluate --json."""

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
    return json.loads(json.dumps(written()))


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


def changed(*keys, to):
    """An evaluation with another value under these keys."""
    inner = found = evaluation()
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    return found


RUN_ROW = ("policies", "run")
SIGNS = (*RUN_ROW, "signs", "bm25", "nDCG@10")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(*RUN_ROW, "values", "bm25", to=[1e10, 0.5]), "values of run under bm25 in 0 to 1, got 1e+10"),
        (changed(*RUN_ROW, "values", "bm25", to=[-0.25, 1]), "values of run under bm25 in 0 to 1, got -0.25"),
        (changed("raw_values", "lsa", to=[2, 0.5]), "the raw query's values under lsa in 0 to 1, got 2"),
        (changed(*SIGNS, "ties", to=0), "wins, ties and losses of run under bm25 as 2 queries together, got 0"),
        (changed(*SIGNS, "p_value", to=2), "p-values of run under bm25 in 0 to 1, got 2"),
        (changed(*RUN_ROW, "completions_cut", to=500), "completions_cut of run as at most 2, which is the number"),
        (changed(*RUN_ROW, "malformed", to=3), "malformed of run as at most 2, which is the number of rewrites, got 3"),
        (changed(*RUN_ROW, "metrics", "bm25", "nDCG@10", to=0.9), "a mean of run under bm25 of 0.375, which is that"),
        (changed(*RUN_ROW, "intervals", "lsa", "nDCG@10", 0, to=0.3), "of its queries' values, got 0.3"),
        (changed(*RUN_ROW, "gains", "lsa", "nDCG@10", 0, to=0.3), "a mean of run under lsa of 0, which is that"),
        (changed(*RUN_ROW, "intervals", "lsa", "RR", 2, to=1e300), "RR of run under lsa in 0 to 1, got 1e+300"),
        (changed(*RUN_ROW, "gains", "lsa", "RR", 1, to=-3.0), "gains in RR of run under lsa in -1 to 1, got -3"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_numbers_out_of_range_or_against_each_other_are_told(tmp_path, content, message):
    with pytest.raises(AgentError, match=r"^--evaluation: .*eval\.json: expected .*; evaluate again$") as refused:
        read(tmp_path / "eval.json", content)
    assert message in str(refused.value)


@pytest.mark.parametrize("queries", [0, -2, 2.5, True])
def test_a_number_of_queries_is_whole_and_above_0(tmp_path, queries):
    content = evaluation() | {"queries": queries}
    del content["query_ids"], content["raw_values"]
    with pytest.raises(AgentError, match="expected a whole number of queries, at least 1, got"):
        read(tmp_path / "eval.json", content)


@pytest.mark.parametrize(
    "keys", [("temperature",), (*RUN_ROW, "values", "bm25", 0), (*RUN_ROW, "metrics", "lsa", "RR"), (*SIGNS, "p_value")]
)
def test_what_is_no_number_is_refused(tmp_path, keys):
    """Python reads NaN in JSON, which ``ospo evaluate`` never writes."""
    with pytest.raises(AgentError, match=r"wrote, .*eval.json is none; evaluate again$"):
        read(tmp_path / "eval.json", changed(*keys, to=float("nan")))


@pytest.mark.parametrize("count", ["many", -1, True, 1.5])
def test_counts_of_an_earlier_version_are_counts(tmp_path, count):
    content = changed(*RUN_ROW, "malformed", to=count)
    del content["query_ids"], content["raw_values"]
    with pytest.raises(AgentError, match=r"wrote, .*eval.json is none; evaluate again$"):
        read(tmp_path / "eval.json", content)


def test_values_that_have_rounding_are_read(tmp_path):
    """A metric of 1 may come out as the next number above it."""
    content = evaluation()
    above = float(np.nextafter(1.0, 2.0))
    content["raw_values"]["bm25"] = [above, above]
    for row in content["policies"].values():
        row["values"]["bm25"] = [above, above]
        row["metrics"]["bm25"]["nDCG@10"] = above
        row["intervals"]["bm25"]["nDCG@10"] = [above, above, above]
    assert read(tmp_path / "eval.json", content) == content
