"""Modes of a task in programs and files: asked for, recorded, resumed, said; files without them mean the defaults."""

import json
from pathlib import Path

import numpy as np
import pytest

from ospo_agents import AgentError
from ospo_cli import evaluate, explain, report, study, train, train_sb3
from ospo_cli._modes import MODES
from ospo_cli._report.runs import read_runs, same_settings
from ospo_cli._study import cells, tables
from ospo_cli._study.plan import Cell
from ospo_cli._study.processes import read_cell
from ospo_cli._task_settings import TaskSettings
from ospo_cli._tasks import open_task
from ospo_env import RetrievalTask, Rewrites, TaskError, read_rewrites, rescore, write_rewrites
from ospo_env.data_access import open_data
from small_run import manifest, repeated, run, weights, write_data

APPEND = {"compose": "append", "query_weight": 3, "repeats": "once"}
FLAGS = ["--compose", "append", "--query-weight", "3", "--repeats", "once"]
ENV = "OSPO-ESCI-v0"
QUERY_ID, TEXT = "shopping-q00534", "slide sandal, womens, suede slide sandal"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("modes"))


@pytest.fixture(scope="module")
def plain():
    """The embedded sample, where rewrites replace the query."""
    return open_task(ENV, None, split="test", retriever="bm25", metric="nDCG@10", max_words=200)


@pytest.fixture(scope="module")
def appended(tmp_path_factory, data):
    """A run that appends."""
    return run(tmp_path_factory.mktemp("runs") / "appended", data=data, steps=2, warm_start_epochs=1, **APPEND)


@pytest.fixture(scope="module")
def replaced(tmp_path_factory, data):
    """A run of an earlier version, whose ``run.json`` knows no modes."""
    out = run(tmp_path_factory.mktemp("runs") / "replaced", data=data, steps=2, warm_start_epochs=1)
    without_modes(out / "run.json")
    return out


def without_modes(path):
    recorded = json.loads(path.read_text())
    for name in MODES:
        del recorded["arguments"][name]
    path.write_text(json.dumps(recorded))


def stored(path, **settings):
    """Rewrites of the sample's test queries, all the same."""
    opened = open_data("shopping", None)
    ids = RetrievalTask(opened).prompts("test")[0]
    texts = [TEXT] * len(ids)
    write_rewrites(path, Rewrites(ENV, None, opened.fingerprint, "mine", tuple(ids), tuple(texts), **settings))
    return path


def evaluated(tmp_path, *arguments):
    own = ["--env", ENV, "--retrievers", "bm25", "--json", str(tmp_path / "m.json")]
    evaluate.main([*own, *map(str, arguments)])
    return json.loads((tmp_path / "m.json").read_text())


def mean(report, policy):
    return report["policies"][str(policy)]["metrics"]["bm25"]["nDCG@10"]


def by_hand(plain, weight=3, words=("slide", "sandal,", "womens,", "suede")):
    """Mean of the test queries with words behind them, written out; copies of the query's words left out."""
    ids = plain.prompts("test")[0]
    texts = []
    for prompt_id in ids:
        query = plain.query(prompt_id).query
        known = query.lower().split()
        added = [word for word in words if word.strip(",") not in known]
        texts.append(" ".join([*[" ".join(dict.fromkeys(query.split()))] * weight, *added]))
    return float(plain.rewards(ids, texts).mean())


def test_stored_rewrites_bring_their_modes(tmp_path, plain, capsys):
    path = stored(tmp_path / "r.jsonl", **APPEND)
    report = evaluated(tmp_path, "--policy", path)
    assert {name: report[name] for name in MODES} == APPEND
    assert mean(report, path) == by_hand(plain)
    shown = capsys.readouterr().out
    assert "Sent: the query 3 times, then the rewrite; each word once" in shown
    assert "was made for" not in shown
    assert float(rescore(read_rewrites(path), "bm25")["nDCG@10"].mean()) == mean(report, path)
    assert mean(report, path) != by_hand(plain, weight=1)  # negative control


def test_another_mode_is_said(tmp_path, plain, capsys):
    path = stored(tmp_path / "r.jsonl", **APPEND)
    report = evaluated(tmp_path, "--policy", path, "--compose", "replace", "--repeats", "count")
    assert {name: report[name] for name in MODES} == dict(MODES)
    ids = plain.prompts("test")[0]
    assert mean(report, path) == float(plain.rewards(ids, [TEXT] * len(ids)).mean())
    shown = capsys.readouterr().out
    assert f"{path} was made for compose append, not replace; query_weight 3, not 1; repeats once, not count." in shown
    assert "Sent:" not in shown
    with (
        pytest.warns(UserWarning, match="are for compose append; the task has replace"),
        pytest.warns(UserWarning, match="are for query_weight 3; the task has 1"),
        pytest.warns(UserWarning, match="are for repeats once; the task has count"),
    ):
        rescore(read_rewrites(path), "bm25", task=plain)


@pytest.mark.parametrize("version", [1, 2])
def test_files_without_modes_mean_the_defaults(tmp_path, plain, version):
    path = stored(tmp_path / "r.jsonl")
    header, *rows = path.read_text().splitlines()
    fields = json.loads(header) | {"version": version}
    for name in [*MODES, *(("max_words", "candidates", "metric") if version == 1 else ())]:
        del fields[name]
    path.write_text("\n".join([json.dumps(fields), *rows]) + "\n")
    assert {name: getattr(read_rewrites(path), name) for name in MODES} == MODES
    report = evaluated(tmp_path, "--policy", path, "query")
    ids = plain.prompts("test")[0]
    assert mean(report, path) == float(plain.rewards(ids, [TEXT] * len(ids)).mean())
    with pytest.raises(
        AgentError, match=r"^--compose: .* different ones \(.*new.jsonl for append, .*r.jsonl for replace"
    ):
        evaluated(tmp_path, "--policy", stored(tmp_path / "new.jsonl", **APPEND), path)


def test_wrong_modes_in_a_file_are_an_error(tmp_path):
    path = stored(tmp_path / "r.jsonl", **APPEND)
    path.write_text(path.read_text().replace('"append"', '"apend"', 1))
    with pytest.raises(TaskError, match=r"r.jsonl, line 1: unknown compose 'apend'; did you mean 'append'"):
        read_rewrites(path)


def test_a_weight_needs_a_query(tmp_path):
    with pytest.raises(TaskError, match=r"query_weight 3 .* use compose='append'"):
        evaluated(tmp_path, "--policy", "query", "--query-weight", "3")


def test_the_raw_query_gains_nothing_in_any_mode(tmp_path, plain):
    """It is the same baseline, and the oracle, which may add nothing, is never below it."""
    replacing = evaluated(tmp_path, "--policy", "query", "oracle", "prf", "random")
    appending = evaluated(tmp_path, "--policy", "query", "oracle", "prf", "random", "--compose", "append")
    assert mean(appending, "query") == mean(replacing, "query")
    assert appending["policies"]["query"]["gains"]["bm25"]["nDCG@10"] == [0.0, 0.0, 0.0]
    assert appending["policies"]["oracle"]["gains"]["bm25"]["nDCG@10"][0] > 0.1
    assert mean(appending, "random") > mean(replacing, "random")
    assert mean(appending, "random") < mean(appending, "query")


def test_a_run_records_its_modes(appended, tmp_path):
    assert manifest(appended)["arguments"].items() >= APPEND.items()
    for path in (appended, appended / "policy", appended / "warmstart"):
        own = ["--env", ENV, "--data", manifest(appended)["arguments"]["data"], "--json", str(tmp_path / "m.json")]
        evaluate.main([*own, "--policy", str(path), "--rewrites", str(tmp_path / "kept")])
        report = json.loads((tmp_path / "m.json").read_text())
        assert {name: report[name] for name in MODES} == APPEND
        (file,) = (tmp_path / "kept").iterdir()
        assert {name: getattr(read_rewrites(file), name) for name in MODES} == APPEND
        file.unlink()


def test_a_run_without_modes_replaced_the_query(replaced, tmp_path, capsys):
    own = ["--env", ENV, "--data", manifest(replaced)["arguments"]["data"], "--json", str(tmp_path / "m.json")]
    evaluate.main([*own, "--policy", str(replaced)])
    assert {name: json.loads((tmp_path / "m.json").read_text())[name] for name in MODES} == MODES
    capsys.readouterr()
    evaluate.main([*own, "--policy", str(replaced), "--compose", "append"])
    assert "was made for compose replace, not append." in capsys.readouterr().out


def test_training_sees_what_is_appended(appended, replaced):
    """The same seed and data: other rewards, hence other weights, from the same warm start."""
    assert weights(appended, "warmstart") == weights(replaced, "warmstart")
    assert weights(appended) != weights(replaced)


def test_a_run_goes_on_in_its_mode(data, tmp_path, monkeypatch):
    from runs import interrupt

    settings = {"data": data, "steps": 4, "save_steps": 2, "warm_start_epochs": 1}
    whole = run(tmp_path / "whole", **settings, **APPEND)
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        interrupt(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            run(out, **settings, **APPEND)
    with pytest.raises(
        AgentError, match=r"was started with --compose append \(now replace\), --query-weight 3 \(now 1\)"
    ):
        run(out, "--resume", compose="replace", query_weight=1)
    run(out, "--resume")
    assert weights(out) == weights(whole)
    assert manifest(out)["arguments"].items() >= APPEND.items()


def test_an_earlier_run_does_not_change_its_mode(replaced):
    unfinished = json.loads((replaced / "run.json").read_text()) | {"status": "running"}
    whole = (replaced / "run.json").read_text()
    (replaced / "run.json").write_text(json.dumps(unfinished))
    try:
        with pytest.raises(AgentError, match=r"was started with --compose replace \(now append\)"):
            run(replaced, "--resume", compose="append")
    finally:
        (replaced / "run.json").write_text(whole)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--query-weight", "3"], "use compose='append'"),
        (["--compose", "append", "--query-weight", "0"], "query_weight as an integer in 1 .. 100; got 0"),
    ],
)
def test_wrong_modes_end_before_training(tmp_path, flags, message):
    with pytest.raises(TaskError, match=message):
        train.main(["--env", ENV, "--out", str(tmp_path / "run"), *flags])
    assert not (tmp_path / "run").exists()


def test_a_report_shows_the_mode(appended, replaced, tmp_path):
    report.main([*repeated(appended), "--run", str(appended), "--out", str(tmp_path / "r.html"), "--examples", "2"])
    page = (tmp_path / "r.html").read_text()
    assert "Sent to the retriever in training: the query 3 times, then the rewrite; each word once." in page
    assert "sent to the retriever: " in page
    assert "the gain over the raw query" in page
    report.main([*repeated(replaced), "--run", str(replaced), "--out", str(tmp_path / "r.html"), "--examples", "2"])
    page = (tmp_path / "r.html").read_text()
    assert "then the rewrite" not in page
    assert "the sum, which is the worth" in page
    with pytest.raises(AgentError, match=r"expected runs of one compose, but .* has replace and .* append"):
        report.main([*repeated(appended), "--run", str(appended), str(replaced), "--out", str(tmp_path / "r.html")])


def test_runs_with_and_without_modes_are_of_one_kind(replaced, data, tmp_path):
    now = run(tmp_path / "now", data=data, steps=2, warm_start_epochs=1, seed=1)
    assert manifest(now)["arguments"].items() >= MODES.items()
    (group,) = same_settings(read_runs([replaced, now]))
    assert len(group) == 2


@pytest.mark.parametrize(
    ("solution", "words"),
    [("shapley", "the sum, which is the gain over the raw query"), ("leave_one_out", "the sum; the gain over the raw")],
)
def test_explain_divides_the_gain(plain, tmp_path, capsys, solution, words):
    command = ["--query-id", QUERY_ID, "--text", TEXT, "--solution", solution, *FLAGS]
    explain.main([*command, "--json", str(tmp_path / "e.json")])
    shown, found = capsys.readouterr().out, json.loads((tmp_path / "e.json").read_text())
    assert words in shown
    query = plain.query(QUERY_ID).query
    sent = f"{query} {query} {query} slide sandal, womens, suede"
    assert f"sent      {sent}" in shown
    raw, worth = plain.rewards([QUERY_ID] * 2, [query, sent])
    assert (found["sent"], found["compose"], found["query_worth"], found["worth"]) == (sent, "append", raw, worth)
    credit = sum(segment["credit"] for segment in found["segments"])
    assert found["empty_worth"] == raw
    assert found["efficient"] == (solution == "shapley") == bool(np.isclose(credit, worth - raw, rtol=0, atol=1e-9))
    assert abs(credit - worth) > 1e-3  # negative control: the gain is not the worth


def test_explain_divides_the_worth_without_a_query(capsys, tmp_path):
    explain.main(["--query-id", QUERY_ID, "--text", "slide sandal", "--json", str(tmp_path / "e.json")])
    shown, found = capsys.readouterr().out, json.loads((tmp_path / "e.json").read_text())
    assert "the sum, which is the worth" in shown
    assert "sent  " not in shown
    assert (found["empty_worth"], found["efficient"]) == (0.0, True)


def a_cell(**modes):
    return Cell(task="shopping", method="grpo", settings={}, seed=0, steps=2, every=1, split="test", **modes)


def test_cells_of_the_study_have_modes(tmp_path):
    out = Path("out")
    assert a_cell().path(out) == out / "cells/shopping/grpo-seed0-steps2-test.json.gz"
    assert a_cell(**APPEND).path(out) == out / "cells/shopping/grpo-append-query3-once-seed0-steps2-test.json.gz"
    assert a_cell().warm_path(out) == a_cell(**APPEND).warm_path(out)
    opened = cells.open_cell(a_cell(**APPEND))
    assert {name: getattr(opened, name) for name in MODES} == APPEND
    earlier = {name: value for name, value in vars(a_cell()).items() if name not in MODES}
    path = a_cell().path(tmp_path)
    cells.write_report(path, earlier)
    assert read_cell(tmp_path, a_cell()) == {**earlier, **MODES}
    assert study.parse(["learning", *FLAGS]).compose == "append"


def test_the_study_measures_in_the_mode_of_its_runs(plain):
    ids = plain.prompts("test")[0][:20]
    reports = [{"ids": ids, "rewrites": {"before": [""] * 20, "after": [TEXT] * 20}, "split": "test"}]
    query = [plain.query(prompt_id).query for prompt_id in ids]
    replacing = tables.measure_transfer("shopping", {"grpo": reports}, "bm25", None)["grpo"]
    appending = tables.measure_transfer("shopping", {"grpo": [reports[0] | APPEND]}, "bm25", None)["grpo"]
    assert replacing["before"].tolist() == [0.0]
    assert appending["before"].tolist() == [plain.rewards(ids, query).mean()]
    table = tables.references("shopping", "test", ["bm25"], None, APPEND)
    assert "shopping (the query 3 times, then the rewrite; each word once), test queries**" in table.splitlines()[0]


def test_an_agent_of_numbers_appends(tmp_path):
    quick = ["--env", ENV, "--steps", "64", "--phrases", "4", "--encoder", "lsa?dimensions=8", "--algo", "ppo"]
    out = tmp_path / "run"
    train_sb3.main([*quick, "--settings", "{n_steps: 4, batch_size: 64}", "--out", str(out), *FLAGS])
    assert manifest(out)["arguments"].items() >= (APPEND | {"template": "{phrases}"}).items()
    evaluate.main(["--env", ENV, "--policy", str(out), "--retrievers", "bm25", "--json", str(tmp_path / "m.json")])
    assert {name: json.loads((tmp_path / "m.json").read_text())[name] for name in MODES} == APPEND
    assert train_sb3.parse([*quick, "--out", str(tmp_path / "other")]).agent.template == "{query}, {phrases}"
    chosen = train_sb3.parse([*quick[:-1], "dqn", "--out", str(tmp_path / "other"), *FLAGS])
    assert chosen.agent.template is None


def test_the_defaults_have_one_source():
    settings = TaskSettings(env=ENV)
    assert {name: getattr(settings, name) for name in MODES} == MODES
    opened = RetrievalTask(open_data("shopping", None))
    rewrites = Rewrites(ENV, None, "", "", (), ())
    assert {name: getattr(opened, name) for name in MODES} == {name: getattr(rewrites, name) for name in MODES} == MODES


@pytest.mark.parametrize("program", [train, evaluate, explain, study, train_sb3])
def test_every_program_explains_the_options(program, capsys):
    with pytest.raises(SystemExit):
        program.parse(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--compose {replace,append}" in shown
    assert "--query-weight TIMES" in shown
    assert "--repeats {count,once}" in shown
    usual = {
        evaluate: "as in the policies' training, else replace",
        explain: "that of the policy's training, else replace",
    }.get(program, "replace")
    assert f"the query and then the rewrite (append) (default: {usual})" in shown
