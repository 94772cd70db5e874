"""Phrases of a file of rewrites: ``ospo explain --rewrites``, and the same file as a policy of ``ospo evaluate``."""

import csv
import dataclasses
import json
import random
import zlib

import numpy as np
import polars as pl
import pytest

from envs_data import FileFaults
from ospo_agents import AgentError
from ospo_agents.segments import phrase_key
from ospo_cli import evaluate, explain
from ospo_cli._credited_rewrites import credit_rewrites
from ospo_cli._phrases import study_phrases, without_stop_lists
from ospo_env import RetrievalTask, Rewrites, TaskError, read_rewrites, write_rewrites
from ospo_env.data_access import open_data

FILLERS = ("everyday use", "free shipping", "gift idea", "new arrival")


@pytest.fixture(scope="module")
def task():
    return RetrievalTask(open_data("shopping", None), compose="append")


@pytest.fixture(scope="module")
def rows(task):
    """A stand-in for a language model: phrases of the need, phrases of another's, and phrases that no product has."""
    ids, _ = task.prompts("test")
    rng = random.Random(0)
    needs = [task.query(prompt_id).intent for prompt_id in ids]
    rewrites = []
    for own in needs:
        picked = [*rng.sample(own, 1), *rng.sample(rng.choice(needs), 1), *rng.sample(FILLERS, 2)]
        rewrites.append(", ".join(dict.fromkeys(picked)))
    return list(zip(ids, [task.query(prompt_id).query for prompt_id in ids], rewrites, strict=True))


@pytest.fixture(scope="module")
def written(tmp_path_factory, rows):
    """The rewrites in files of several forms."""
    directory = tmp_path_factory.mktemp("rewrites")
    frame = pl.DataFrame(rows, schema=["query_id", "query", "rewrite"], orient="row")
    frame.write_csv(directory / "llm.csv")
    frame.select("query_id", text="rewrite").write_parquet(directory / "llm.parquet")
    frame.select("query_id", "rewrite").write_csv(directory / "bare.tsv", separator="\t", include_header=False)
    return directory


def explained(path, *arguments):
    out = path.parent / "explained.json"
    explain.main(["--rewrites", str(path), "--json", str(out), *map(str, arguments)])
    return json.loads(out.read_text())


def test_credit_is_relative_to_the_raw_query(written, task, rows):
    found = explained(written / "llm.csv", "--csv", written / "phrases.csv")
    ids, _, texts = zip(*rows, strict=True)
    raw, worths = task.rewards(ids, [""] * len(ids)), task.rewards(ids, texts)
    gains = worths - raw
    assert [row["prompt_id"] for row in found["rewrites"]] == list(ids)
    np.testing.assert_allclose([row["gain"] for row in found["rewrites"]], gains, rtol=0, atol=1e-12)
    sums = [sum(segment["credit"] for segment in row["segments"]) for row in found["rewrites"]]
    np.testing.assert_allclose(sums, gains, rtol=0, atol=1e-9)
    verdict = found["verdict"]
    assert verdict["gain"][0] == pytest.approx(gains.mean())
    assert [verdict[name] for name in ("wins", "ties", "losses")] == [
        (gains > 1e-9).sum(), (abs(gains) <= 1e-9).sum(), (gains < -1e-9).sum(),
    ]  # fmt: skip
    assert found["raw"] == pytest.approx(raw.mean())
    by_phrase = {}
    for row in found["rewrites"]:
        for segment in row["segments"]:
            by_phrase.setdefault(phrase_key(segment["text"]), []).append(segment["credit"])
    assert all(row["credit"][0] == pytest.approx(np.mean(by_phrase[row["phrase"]])) for row in found["phrases"])
    assert {row["phrase"] for row in found["phrases"]} == {name for name, own in by_phrase.items() if len(own) >= 6}
    with (written / "phrases.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [(row["phrase"], float(row["credit"])) for row in table] == [
        (row["phrase"], row["credit"][0]) for row in found["phrases"]
    ]


def test_what_is_printed(written, capsys):
    found = explained(written / "llm.csv", "--shown", 2)
    out = capsys.readouterr().out
    value, low, high = found["verdict"]["gain"]
    assert f"Verdict: nDCG@10 {value:+.3f} [{low:+.3f}, {high:+.3f}] over the raw query's {found['raw']:.3f}" in out
    wins, ties, losses = (found["verdict"][name] for name in ("wins", "ties", "losses"))
    assert f"  win {wins} / tie {ties} / loss {losses}; sign test p = " in out
    first, last = found["phrases"][0], found["phrases"][-1]
    for row in (first, last):
        line = next(line for line in out.splitlines() if line.endswith(f"  {row['phrase']}"))
        assert line.split()[0] == f"{row['credit'][0]:+.3f}"
    assert f"{len(found['phrases']) - 4:,} more; --csv FILE has all" in out
    worst = min(found["rewrites"], key=lambda row: row["gain"])
    cost = min(worst["segments"], key=lambda segment: segment["credit"])
    assert f"{worst['gain']:>+8.3f}  {worst['prompt_id']}: {worst['query']} -> {worst['text']}\n" in out
    assert f"{cost['credit']:+.3f} by '{phrase_key(cost['text'])}'" in out
    assert json.dumps(found["keep"]) in out
    assert json.dumps(found["stop"]) in out
    explain.main(["--rewrites", str(written / "llm.csv"), "--json", "-"])
    assert json.loads(capsys.readouterr().out)["verdict"] == found["verdict"]


def test_every_form_of_file_gives_the_same(written):
    whole, *others = (explained(written / name) for name in ("llm.csv", "bare.tsv"))
    for found in others:
        assert found["rewrites"] == whole["rewrites"]
        assert found["phrases"] == whole["phrases"]
    assert whole["compose"] == "append"


def evaluated(path, *arguments):
    out = path.parent / "evaluated.json"
    common = ["--env", "OSPO-ESCI-v0", "--retrievers", "bm25", "--json", str(out)]
    evaluate.main([*common, "--policy", str(path), *map(str, arguments)])
    return json.loads(out.read_text())["policies"][str(path)]


def test_evaluate_reads_the_same_file(written, tmp_path, capsys):
    found, row = explained(written / "llm.csv"), evaluated(written / "llm.csv")
    assert row["gains"]["bm25"]["nDCG@10"] == pytest.approx(found["verdict"]["gain"])
    signs = row["signs"]["bm25"]["nDCG@10"]
    assert signs == {name: found["verdict"][name] for name in ("wins", "ties", "losses", "p_value")}
    assert f"{signs['wins']} / {signs['ties']} / {signs['losses']} (" in capsys.readouterr().out
    again = evaluated(written / "llm.csv", "--rewrites", tmp_path)
    (stored,) = tmp_path.iterdir()
    assert read_rewrites(stored).compose == "append"
    assert evaluated(stored)["gains"] == again["gains"] == row["gains"]
    assert explained(stored)["phrases"] == found["phrases"]


def test_queries_with_several_rewrites_or_none(written, rows, task, capsys):
    some, path = rows[:30], written / "some.csv"
    twice = [(query_id, query, "red") for query_id, query, _ in some[:5]]
    pl.DataFrame([*some, *twice], schema=["query_id", "query", "text"], orient="row").write_csv(path)
    gains = {query_id: [] for query_id, _, _ in rows}
    for query_id, _, text in [*some, *twice]:
        gains[query_id].append(float(task.rewards([query_id], [text])[0] - task.rewards([query_id], [""])[0]))
    of_queries = [np.mean(own or [0.0]) for own in gains.values()]
    row = evaluated(path)
    assert row["gains"]["bm25"]["nDCG@10"][0] == pytest.approx(np.mean(of_queries))
    remark = f"{len(rows) - 30} of {len(rows)} queries have no rewrite and are sent as they are"
    assert row["remark"] == f"{remark}; a query with several rewrites has their mean"
    assert f"{path}: {remark}; a query" in capsys.readouterr().out
    found = explained(path)
    assert found["queries"] == found["verdict"]["queries"] == 30
    assert len(found["rewrites"]) == 35
    assert found["verdict"]["gain"][0] == pytest.approx(np.mean(of_queries[:30]))
    with pytest.raises(AgentError, match=r"--trec: expected one rewrite a query, as in a TREC run; .*some.csv has"):
        evaluated(path, "--trec", written / "trec")
    assert not (written / "trec").exists()


def test_splits(written, rows, capsys):
    train = RetrievalTask(open_data("shopping", None)).prompts("train")[0][0]
    path = written / "both.csv"
    path.write_text(f"query_id,text\n{rows[0][0]},red\n{train},blue\n")
    assert explained(path)["queries"] == 2
    assert explained(path, "--split", "train")["rewrites"][0]["prompt_id"] == train
    assert "1 rewrites are of queries of other splits and not used." in capsys.readouterr().out
    assert "1 rewrites are of queries of other splits and not used" in evaluated(path)["remark"]


def test_no_word_is_cut_unless_asked(written, rows, task, capsys):
    late = f"{' '.join(f'filler{n}' for n in range(20))} {' '.join(task.query(rows[0][0]).intent)}"
    path = written / "long.csv"
    path.write_text(f"query_id,text\n{rows[0][0]},{late}\n")
    whole, cut = explained(path), explained(path, "--max-words", 16)
    assert whole["max_words"] > 20
    assert (whole["beyond_cap"], cut["beyond_cap"]) == (0, 1)
    assert whole["verdict"]["gain"][0] > cut["verdict"]["gain"][0] == 0
    assert "1 rewrites lost words to the cap of 16." in capsys.readouterr().out
    assert evaluated(path)["made_for"] == {"compose": "append", "max_words": whole["max_words"]}


def test_replacing_the_query(written, task, rows, capsys):
    path = written / "replace.csv"
    path.write_text(f"query_id,text\n{rows[0][0]},zzz\n")
    found = explained(path, "--compose", "replace")
    (row,) = found["rewrites"]
    assert row["gain"] == -row["raw"] < 0
    assert row["left_out"] == list(dict.fromkeys(rows[0][1].lower().split()))
    out = capsys.readouterr().out
    assert f"no phrase costs; left out: {', '.join(row['left_out'])}" in out
    assert "Credit sums to a rewrite's worth" in out


def test_a_planted_phrase_is_found_and_measured_without(task, rows):
    """Words of other products behind half of the rewrites, and words that no product has behind the others."""
    ids = [query_id for query_id, _, _ in rows]
    kinds = [task.query(query_id).intent[0] for query_id in ids]
    planted = ["rain winter leather" if place % 2 else "gift idea" for place in range(len(ids))]
    texts = [f"{kind}, {phrase}" for kind, phrase in zip(kinds, planted, strict=True)]
    rewrites = credit_rewrites(task, ids, texts)
    study = study_phrases(task, rewrites, fewest=6)
    assert study.listed("stop") == ["rain winter leather"]
    assert set(study.listed("keep")) <= set(kinds)
    assert len(study.listed("keep")) > 5
    half = [zlib.crc32(query_id.encode()) % 2 for query_id in ids]
    halves = [[row for row, own in zip(rewrites, half, strict=True) if own == one] for one in range(2)]
    stopped = ["rain winter leather" in study_phrases(task, other, fewest=6).listed("stop") for other in halves[::-1]]
    assert any(stopped)
    left_out = [stopped[own] and phrase == "rain winter leather" for phrase, own in zip(planted, half, strict=True)]
    shorter = [kind if out else text for kind, text, out in zip(kinds, texts, left_out, strict=True)]
    gains = task.rewards(ids, shorter) - task.rewards(ids, [""] * len(ids))
    assert study.pruned.verdict.gain.value == pytest.approx(gains.mean())
    assert study.pruned.change.value == pytest.approx(gains.mean() - study.verdict.gain.value)
    assert study.pruned.rewrites == sum(left_out)
    none = study_phrases(task, credit_rewrites(task, ids, ["gift idea"] * len(ids)), fewest=6)
    assert (none.pruned, none.listed("stop"), none.losing) == (None, [], [])


def test_no_query_decides_on_its_own_phrases(task, rows):
    """Credit of one half says that a phrase hurts: it is left out in the other half alone."""
    ids = [query_id for query_id, _, _ in rows]
    rewrites = credit_rewrites(task, ids, ["gift idea"] * len(ids))
    halves = [zlib.crc32(query_id.encode()) % 2 for query_id in ids]
    assert 20 < sum(halves) < len(ids) - 20
    tampered = [
        row if half else dataclasses.replace(row, credited=dataclasses.replace(row.credited, credit=np.array([-0.1])))
        for row, half in zip(rewrites, halves, strict=True)
    ]
    assert without_stop_lists(task, tampered, 6).rewrites == sum(halves)


def test_free_queries(written, rows, capsys):
    path = written / "free.tsv"
    path.write_text("".join(f"anything {n}\t{text}\n" for n, (_, _, text) in enumerate(rows[:40])) + "x\tqqq\n")
    found = explained(path, "--free", "--minimum-queries", 2)
    out = capsys.readouterr().out
    assert "it says nothing about quality" in out
    assert "1 rewrites match no document and are left out." in out
    assert "Verdict" not in out
    assert "list, " not in out
    assert (found["verdict"], found["keep"], found["stop"], found["candidates"]) == (None, [], [], "corpus")
    assert len(found["rewrites"]) == 40
    assert {row["worth"] for row in found["rewrites"]} == {1.0}
    assert all(row["verdict"] == "" for row in found["phrases"])
    known = {row["phrase"]: row["credit"][0] for row in found["phrases"]}
    assert known["everyday use"] == pytest.approx(0, abs=1e-9)  # it is in no product, so it causes nothing
    with pytest.raises(AgentError, match=r"--free: expected texts of queries, in a column query; .*llm.parquet names"):
        explained(written / "llm.parquet", "--free")


def test_one_free_query(capsys):
    explain.main(["--query", "something for the rain", "--text", "slide sandal, zzz", "--json", "-"])
    found = json.loads(capsys.readouterr().out)
    assert (found["free"], found["worth"], found["query"]) == (True, 1.0, "something for the rain")
    assert [segment["credit"] for segment in found["segments"]] == pytest.approx([1.0, 0.0])
    explain.main(["--query", "something for the rain", "--text", "slide sandal, zzz", "--color", "never"])
    out = capsys.readouterr().out
    assert "documents ranked, * is the target" in out
    assert "it says nothing about quality" in out
    assert "judged relevant" not in out


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (
            "query_id,text\nshopping-q00000x,a\n",
            TaskError,
            "1 of 1 rewrites are of unknown queries, the first in row 2",
        ),
        ("query,text\nno such thing,a\n", TaskError, "named by query; 1 of 1"),
        ("a,b,c\n1,2,3\n", FileFaults, "expected values in a column query_id or query"),
    ],
)
@pytest.mark.parametrize("program", ["explain", "evaluate"])
def test_wrong_files(tmp_path, content, error, message, program):
    path = tmp_path / "wrong.csv"
    path.write_text(content)
    with pytest.raises(error, match=message):
        explained(path) if program == "explain" else evaluated(path)
    assert [one.name for one in tmp_path.iterdir()] == ["wrong.csv"]


def test_stored_rewrites_of_other_data_are_refused(tmp_path):
    stored = Rewrites("OSPO-ESCI-v0", None, "0" * 64, "mine", ("shopping-q00000",), ("red",))
    write_rewrites(tmp_path / "r.jsonl", stored)
    with pytest.raises(AgentError, match=r"r.jsonl: expected rewrites of the data .*; they are of 0{16}; name"):
        explained(tmp_path / "r.jsonl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rewrites", "r.csv", "--text", "x"], "leave --text out"),
        (["--rewrites", "r.csv", "--query-id", "x"], "leave --query-id out"),
        (["--rewrites", "r.csv", "--compare", "shapley", "owen"], "leave --compare out"),
        (["--rewrites", "r.csv", "--free", "--split", "test"], "leave --split out"),
        (["--rewrites", "r.csv", "--free", "--candidates", "pool"], "leave --candidates out"),
        (["--free", "--text", "x"], "--free is for the rewrites of a file"),
        (["--csv", "x.csv", "--text", "x"], "--csv is for the rewrites of a file"),
        (["--query", "a", "--query-id", "b", "--text", "x"], "give one of them"),
        (["--query", "a", "--compare", "shapley", "owen", "--text", "x"], "leave --query out"),
        (["--query", "a"], "expected --text, the rewrite to explain"),
        (["--rewrites", "r.csv", "--sort", "size"], "invalid choice: 'size'"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, capsys):
    with pytest.raises(SystemExit):
        explain.main(arguments)
    assert message in capsys.readouterr().err
    with pytest.raises(AgentError, match="--minimum-queries: expected at least 2, got 1"):
        explain.main(["--rewrites", "r.csv", "--minimum-queries", "1"])
