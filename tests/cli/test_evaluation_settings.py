"""The cap, the candidates and the metric travel with stored rewrites and runs; texts that lost words are counted.

The relevant document is found by one word. A rewrite that has it behind 30 others is worth 1 under a cap of 40 words
and 0 under the environment's own cap of 16.
"""

import json

import pytest

from envs_data import prepare_tables
from ospo_agents import AgentError
from ospo_cli import evaluate, report
from ospo_env import RetrievalTask, Rewrites, read_rewrites, rescore, write_rewrites
from ospo_env.data_access import open_data
from small_run import manifest, run

FILLER = " ".join(f"filler{number}" for number in range(30))
LATE = f"{FILLER} anchor"
LONG_QUERY = " ".join(f"word{number}" for number in range(20))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Five documents and four test queries; document 1 answers all of them, and only it holds the word "anchor"."""
    directory = tmp_path_factory.mktemp("settings")
    documents = ["1,iron anchor", *(f"{number},thing{number}" for number in range(2, 6))]
    (directory / "documents.csv").write_text("\n".join(["doc_id,text", *documents]))
    queries = [f"q{number},{LONG_QUERY},test" for number in range(4)] + ["t,thing2,train", "v,thing3,validation"]
    (directory / "queries.csv").write_text("\n".join(["query_id,query,split", *queries]))
    qrels = [f"q{number},1" for number in range(4)] + ["t,2", "v,3"]
    (directory / "qrels.csv").write_text("\n".join(["query_id,doc_id", *qrels]))
    tables = {name: directory / f"{name}.csv" for name in ("documents", "queries", "qrels")}
    prepare_tables(**tables, out=directory / "data", pool_size=5)
    return directory / "data"


def stored(data, path, texts, **settings):
    """A file of rewrites of the test queries, in the order of the prompts."""
    opened = open_data(None, data)
    ids = RetrievalTask(opened).prompts("test")[0]
    rewrites = Rewrites("OSPO-Rewrite-v0", str(data), opened.fingerprint, "mine", tuple(ids), tuple(texts), **settings)
    write_rewrites(path, rewrites)
    return path


def evaluated(data, out, *arguments):
    """What ``evaluate`` writes."""
    own = ["--env", "OSPO-Rewrite-v0", "--data", str(data), "--retrievers", "bm25", "--json", str(out / "m.json")]
    evaluate.main([*own, *map(str, arguments)])
    return json.loads((out / "m.json").read_text())


def mean(report, policy, metric="nDCG@10"):
    return report["policies"][str(policy)]["metrics"]["bm25"][metric]


def of_version_1(path):
    """The same file as it was written before it kept the settings."""
    header, *rows = path.read_text().splitlines()
    fields = json.loads(header) | {"version": 1}
    for name in ("max_words", "candidates", "metric", "compose", "query_weight", "repeats"):
        del fields[name]
    path.write_text("\n".join([json.dumps(fields), *rows]) + "\n")
    return path


def test_rewrites_are_measured_with_their_own_cap(data, tmp_path, capsys):
    path = stored(data, tmp_path / "r.jsonl", 4 * [LATE], max_words=40, candidates="pool", metric="nDCG@10")
    report = evaluated(data, tmp_path, "--policy", path)
    assert report["max_words"] == 40
    assert mean(report, path) == 1.0
    assert "was made for" not in capsys.readouterr().out
    assert rescore(read_rewrites(path), "bm25", data=data)["nDCG@10"].tolist() == [1.0] * 4


def test_another_cap_is_said(data, tmp_path, capsys):
    path = stored(data, tmp_path / "r.jsonl", 4 * [LATE], max_words=40, candidates="pool", metric="nDCG@10")
    report = evaluated(data, tmp_path, "--policy", path, "--max-words", 16)
    assert mean(report, path) == 0.0
    assert f"{path} was made for max_words 40, not 16." in capsys.readouterr().out
    assert report["policies"][str(path)]["made_for"]["max_words"] == 40
    task = RetrievalTask(open_data(None, data))
    with pytest.warns(UserWarning, match="are for max_words 40; the task has 16"):
        assert rescore(read_rewrites(path), "bm25", task=task)["nDCG@10"].tolist() == [0.0] * 4


def test_files_without_the_fields_keep_their_meaning(data, tmp_path):
    path = of_version_1(stored(data, tmp_path / "r.jsonl", 4 * [LATE]))
    report = evaluated(data, tmp_path, "--policy", path)
    assert (report["max_words"], report["candidates"], report["metric"]) == (16, "pool", "nDCG@10")
    modes = {"compose": "replace", "query_weight": 1, "repeats": "count"}  # which nobody could choose then
    assert report["policies"][str(path)]["made_for"] == modes
    assert mean(report, path) == 0.0
    assert rescore(read_rewrites(path), "bm25", data=data)["nDCG@10"].tolist() == [0.0] * 4


def test_candidates_and_metric_travel_too(data, tmp_path):
    path = stored(data, tmp_path / "r.jsonl", 4 * [LATE], max_words=40, candidates="corpus", metric="R@3")
    report = evaluated(data, tmp_path, "--policy", path, "query")
    assert (report["max_words"], report["candidates"], report["metric"]) == (40, "corpus", "R@3")
    assert next(iter(rescore(read_rewrites(path), "bm25", data=data))) == "R@3"


def test_stored_rewrites_are_passed_on_as_they_are(data, tmp_path):
    path = stored(data, tmp_path / "r.jsonl", 4 * [LATE], max_words=40)
    evaluated(data, tmp_path, "--policy", path, "--max-words", 20, "--rewrites", tmp_path / "again")
    (file,) = (tmp_path / "again").iterdir()
    assert read_rewrites(file) == read_rewrites(path)


def test_policies_of_different_caps_need_a_word(data, tmp_path):
    paths = [stored(data, tmp_path / f"{cap}.jsonl", 4 * [LATE], max_words=cap) for cap in (16, 40)]
    with pytest.raises(AgentError, match=r"^--max-words: .*16\.jsonl for 16, .*40\.jsonl for 40\); name one"):
        evaluated(data, tmp_path, "--policy", *paths)
    report = evaluated(data, tmp_path, "--policy", *paths, "--max-words", 40)
    assert [mean(report, path) for path in paths] == [1.0, 1.0]


def test_a_run_is_evaluated_with_the_cap_of_its_training(tmp_path, capsys):
    out = run(tmp_path / "run", steps=1, warm_start_epochs=0.1, max_words=40, metric="R@10")
    own = ["--env", "OSPO-ESCI-v0", "--split", "validation", "--retrievers", "bm25", "--json", str(tmp_path / "m.json")]
    evaluate.main([*own, "--policy", str(out), "--rewrites", str(tmp_path)])
    report = json.loads((tmp_path / "m.json").read_text())
    assert (report["max_words"], report["metric"]) == (40, "R@10")
    capsys.readouterr()
    evaluate.main([*own, "--policy", str(out), "--max-words", "16", "--metric", "RR"])
    assert "was made for max_words 40, not 16; metric R@10, not RR." in capsys.readouterr().out
    (file,) = tmp_path.glob("*.jsonl")
    rewrites = read_rewrites(file)
    assert (rewrites.max_words, rewrites.candidates, rewrites.metric) == (40, "pool", "R@10")
    # a run that says nothing of a cap was trained with the environment's own
    unsaid = manifest(out)
    unsaid["arguments"] |= {"max_words": None}
    (out / "run.json").write_text(json.dumps(unsaid))
    evaluate.main([*own, "--policy", str(out)])
    assert json.loads((tmp_path / "m.json").read_text())["max_words"] == 16


def test_texts_that_lost_words_are_counted(data, tmp_path, capsys):
    """Of four texts two are longer than the cap; the raw query, of 20 words, is never cut."""
    path = stored(data, tmp_path / "r.jsonl", [LATE, "anchor", f"{FILLER} {FILLER}", "iron anchor"])
    report = evaluated(data, tmp_path, "--policy", "query", path)
    assert report["policies"][str(path)]["texts_cut"] == {"bm25": 2}
    assert report["policies"]["query"]["texts_cut"] == {"bm25": 0}
    shown = capsys.readouterr().out
    assert "Texts that lost words to the cap of 16, of 4:" in shown
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith((f"  {path}", "  query"))] == ["0", "2"]
    report = evaluated(data, tmp_path, "--policy", "query", path, "--max-words", 40)
    assert report["policies"][str(path)]["texts_cut"] == {"bm25": 1}


def test_a_report_says_it_too(tmp_path):
    out = run(tmp_path / "run", steps=1, warm_start_epochs=0.1, max_words=40)
    own = ["--env", "OSPO-ESCI-v0", "--split", "validation", "--retrievers", "bm25", "--json", str(tmp_path / "m.json")]
    evaluate.main([*own, "--policy", str(out), "--max-words", "16"])
    report.main(["--run", str(out), "--examples", "1", "--evaluation", str(tmp_path / "m.json")])
    page = (out / "report.html").read_text()
    assert f"<p>{out} was made for max_words 40, not 16.</p>" in page
    assert "up to 16 words of a rewrite" in page
    before = json.loads((tmp_path / "m.json").read_text())  # as an earlier version wrote it
    del before["max_words"], before["policies"][str(out)]["made_for"]
    (tmp_path / "m.json").write_text(json.dumps(before))
    report.main(["--run", str(out), "--examples", "1", "--evaluation", str(tmp_path / "m.json")])
    assert "was made for" not in (out / "report.html").read_text()
