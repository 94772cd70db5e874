"""Stored rewrites judged again, and rankings in TREC files that another tool measures alike."""

import dataclasses
import json
import re
import warnings

import gymnasium as gym
import numpy as np
import pytest

import ospo_env
from envs_data import FileFaults
from ospo_agents import AgentError
from ospo_cli import evaluate
from ospo_cli._policies import ResolvedPolicy, table
from ospo_env import RetrievalTask, Rewrites, TaskError, read_rewrites, rescore, write_rewrites
from ospo_env.evaluation.intervals import mean_interval
from ospo_env.evaluation.trec import full_level, gain_scale, qrels_lines, run_lines

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its providers' imports
    import ir_measures

STRANGE = ['"quoted", {braces}', "line\nbreak", "\u2028 separator", "née 靴 👟", "\ud800 lone"]


@pytest.fixture(scope="module")
def task():
    return gym.make("OSPO-ESCI-v0", split="validation").unwrapped.task


@pytest.fixture(scope="module")
def rewrites(task):
    ids, prompts = task.prompts("validation")
    texts = [prompt if row % 3 else "red" for row, prompt in enumerate(prompts)]
    return Rewrites(
        "OSPO-ESCI-v0", None, task.data.fingerprint, "mine", tuple(ids), tuple(texts), {"trained_on": "lsa"}
    )


def test_stored_and_read_again(tmp_path, rewrites):
    texts = (*STRANGE, *rewrites.texts[len(STRANGE) :])
    written = dataclasses.replace(rewrites, texts=texts)
    write_rewrites(tmp_path / "r.jsonl", written)
    assert read_rewrites(tmp_path / "r.jsonl") == written


@pytest.mark.parametrize("retriever", ["bm25", "lsa"])
def test_rescoring_is_evaluating(rewrites, retriever):
    other = gym.make("OSPO-ESCI-v0", retriever=retriever).unwrapped.task
    expected = other.evaluate(rewrites.prompt_ids, rewrites.texts)
    for found in (rescore(rewrites, retriever), rescore(rewrites, retriever, task=other)):
        assert found.keys() == expected.keys()
        assert all((found[name] == expected[name]).all() for name in expected)
    assert list(rescore(rewrites, retriever, ["R@5"])) == ["R@5"]


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskError, match="JSON Lines in UTF-8"):
        read_rewrites(tmp_path / "model.safetensors")


def test_an_unknown_environment_is_refused(rewrites):
    with pytest.raises(TaskError, match="cannot make the environment"):
        rescore(dataclasses.replace(rewrites, env_id="OSPO-Nothing-v0"), "bm25")


def test_a_file_of_rewrites_does_not_choose_the_data(rewrites, env_arguments):
    own = env_arguments["OSPO-Rewrite-v0"]["data"]
    elsewhere = dataclasses.replace(rewrites, data=own)
    with pytest.raises(TaskError, match=r"made on .*which a file may not choose; .*repeat it: rescore\(\.\.\., data="):
        rescore(elsewhere, "bm25")
    with pytest.raises(TaskError, match="OSPO-ESCI-v0 reads the data sets"):  # opened, since it is named
        rescore(elsewhere, "bm25", data=own)


def test_rewrites_of_another_data_set_are_refused(rewrites):
    with pytest.raises(TaskError, match="name the directory that they were made on"):
        rescore(dataclasses.replace(rewrites, fingerprint="0" * 64), "bm25")
    with pytest.raises(TaskError, match="one rewrite a prompt"):
        dataclasses.replace(rewrites, texts=("red",))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "line 1: expected a JSON object"),
        (["[1]"], "line 1: expected a JSON object, got list"),
        (['{"kind": "other"}'], "expected rewrites of version 1"),
        (['{"kind": "ospo rewrites", "version": 4}'], "expected rewrites of version 1 to 3"),
        (['{"kind": "ospo rewrites", "version": [1]}'], "expected rewrites of version 1 to 3"),
        (['{"kind": "ospo rewrites", "version": 3}'], "line 1: expected a header with env_id"),
        (['{"kind": "ospo rewrites", "version": 1}'], "line 1: expected a header with env_id"),
        ([None, '{"prompt_id": "q"}'], "line 2: expected strings"),
        ([None, "{"], "line 2: expected a JSON object"),
    ],
)
def test_broken_files(tmp_path, rewrites, lines, message):
    write_rewrites(tmp_path / "good.jsonl", rewrites)
    header = (tmp_path / "good.jsonl").read_text().splitlines()[0]
    (tmp_path / "r.jsonl").write_text("\n".join(header if line is None else line for line in lines))
    with pytest.raises(TaskError, match=message):
        read_rewrites(tmp_path / "r.jsonl")


@pytest.mark.parametrize("retriever", ["bm25", "lsa"])
def test_trec_files_measure_alike(tmp_path, retriever):
    """nDCG, RR, R and AP of the files, as ir-measures reads them, are ours to 1e-12."""
    given = ["--env", "OSPO-ESCI-v0", "--split", "validation", "--policy", "query", "random", "--retrievers", retriever]
    evaluate.main([*given, "--trec", str(tmp_path), "--json", str(tmp_path / "eval.json")])
    task = gym.make("OSPO-ESCI-v0", retriever=retriever).unwrapped.task
    ids, prompts = task.prompts("validation")
    scale = gain_scale(gain for *_, gain in task.judgements(ids))
    assert scale == 100  # the sample has gains of 1, 0.1 and 0.01
    rel = full_level(scale)
    theirs = {
        "nDCG@10": ir_measures.nDCG @ 10,
        "RR": ir_measures.RR(rel=rel),
        "R@10": ir_measures.R(rel=rel) @ 10,
        "AP": ir_measures.AP(rel=rel),
    }
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "qrels.txt")))
    for policy in ("query", "random"):
        run = list(ir_measures.read_trec_run(str(tmp_path / f"{policy}.{retriever}.run")))
        assert len(run) > len(ids)
        ours = task.evaluate(ids, ospo_env.make_reference_policy(policy, task)(ids, prompts))
        found = {
            (str(v.measure), v.query_id): v.value for v in ir_measures.iter_calc(list(theirs.values()), qrels, run)
        }
        for name, measure in theirs.items():
            values = np.array([found.get((str(measure), query), 0.0) for query in ids])
            np.testing.assert_allclose(ours[name], values, rtol=0, atol=1e-12)
            written = json.loads((tmp_path / "eval.json").read_text())["policies"][policy]
            assert written["metrics"][retriever][name] == pytest.approx(values.mean(), abs=1e-12)


def test_trec_lines_refuse_what_they_cannot_hold():
    assert gain_scale([0.0, 1.0]) == 1
    assert gain_scale([0.5]) == 10
    assert gain_scale([0.0, 1 / 3, 2 / 3, 1.0]) == 3
    assert gain_scale([1 / 7, 0.5]) == 14
    with pytest.raises(TaskError, match="six decimals"):
        gain_scale([2**-0.5])
    with pytest.raises(TaskError, match="without white space"):
        qrels_lines([("q 1", "d", 1.0)], 1)
    with pytest.raises(TaskError, match="white space"):
        run_lines(["q"], [["d 1"]], "tag")
    assert run_lines(["q"], [["d"]], "two words")[0].endswith(" two_words")


class TestEvaluate:
    """Stored rewrites in the program: no generation, the same numbers."""

    def command(self, policies, tmp_path, *more):
        given = ["--env", "OSPO-ESCI-v0", "--split", "validation", "--retrievers", "bm25,lsa"]
        return [*given, "--policy", *policies, "--json", str(tmp_path / "eval.json"), *more]

    def test_a_file_of_rewrites_is_a_policy(self, tmp_path, rewrites, capsys):
        write_rewrites(tmp_path / "mine.jsonl", rewrites)
        stored = str(tmp_path / "mine.jsonl")
        evaluate.main(self.command(["query", stored], tmp_path, "--plot", str(tmp_path / "matrix.png")))
        row = json.loads((tmp_path / "eval.json").read_text())["policies"][stored]
        assert row["trained_on"] == "lsa"
        for retriever in ("bm25", "lsa"):
            values = rescore(rewrites, retriever)["nDCG@10"]
            assert row["metrics"][retriever]["nDCG@10"] == values.mean()
            low, high = row["intervals"][retriever]["nDCG@10"][1:]
            assert low < values.mean() < high
        assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")
        printed = capsys.readouterr().out
        assert "Gain over the raw query, nDCG@10" in printed
        assert "MRR: mean" in printed
        assert "R@10: mean" in printed

    def test_gains_are_paired_with_the_raw_query(self, tmp_path, rewrites):
        evaluate.main(self.command(["query", "oracle"], tmp_path))
        rows = json.loads((tmp_path / "eval.json").read_text())["policies"]
        assert rows["query"]["gains"]["bm25"]["nDCG@10"] == [0.0, 0.0, 0.0]
        gain = rows["oracle"]["gains"]["bm25"]["nDCG@10"]
        means = [rows[name]["metrics"]["bm25"]["nDCG@10"] for name in ("oracle", "query")]
        assert gain[0] == pytest.approx(means[0] - means[1])
        assert gain[1] < gain[0] < gain[2]

    def test_rewrites_of_another_split_are_refused(self, tmp_path, rewrites):
        write_rewrites(tmp_path / "mine.jsonl", rewrites)
        with pytest.raises(AgentError, match=r"expected rewrites of the .* prompts of --split test"):
            evaluate.main(["--env", "OSPO-ESCI-v0", "--policy", str(tmp_path / "mine.jsonl")])

    def test_rewrites_of_another_data_set_are_refused(self, tmp_path, rewrites):
        write_rewrites(tmp_path / "mine.jsonl", dataclasses.replace(rewrites, fingerprint="0" * 64))
        with pytest.raises(AgentError, match=r"mine.jsonl: expected rewrites of the data .*; they are of 0{16}; name"):
            evaluate.main(self.command([str(tmp_path / "mine.jsonl")], tmp_path))

    def test_a_file_that_is_broken_is_refused_before_the_data_are_opened(self, tmp_path):
        (tmp_path / "mine.jsonl").write_text("[1]\n")
        with pytest.raises(FileFaults, match="row 1: expected a JSON object"):
            evaluate.main(["--env", "no such environment", "--policy", str(tmp_path / "mine.jsonl")])

    def test_rewrites_that_do_not_fit_are_refused_before_a_policy_writes(self, tmp_path, rewrites, monkeypatch):
        write_rewrites(tmp_path / "mine.jsonl", dataclasses.replace(rewrites, texts=("",), prompt_ids=("q",)))
        opened = open_policies(monkeypatch, slow=lambda *_: pytest.fail("it was asked to write"))
        with pytest.raises(AgentError, match=r"expected rewrites of the .* prompts"):
            evaluate.main(self.command(["slow", str(tmp_path / "mine.jsonl")], tmp_path))
        assert opened == ["slow"]

    def test_rewrites_are_kept_when_a_later_policy_fails(self, tmp_path, rewrites, monkeypatch):
        def fail(*_):
            raise AgentError("the second one failed")

        open_policies(monkeypatch, first=lambda *_: rewrites, second=fail)
        with pytest.raises(AgentError, match="the second one failed"):
            evaluate.main(self.command(["first", "second"], tmp_path, "--rewrites", str(tmp_path / "rewrites")))
        assert read_rewrites(tmp_path / "rewrites" / "first.jsonl") == rewrites

    def test_two_files_of_one_policy_have_runs_of_their_own(self, tmp_path, rewrites):
        for name, text in (("a", "red"), ("b", "shoe")):
            texts = (text,) * len(rewrites.texts)
            write_rewrites(tmp_path / f"{name}.jsonl", dataclasses.replace(rewrites, texts=texts))
        files = [str(tmp_path / f"{name}.jsonl") for name in "ab"]
        evaluate.main(self.command(files, tmp_path, "--trec", str(tmp_path / "trec"), "--rewrites", str(tmp_path)))
        runs = [(tmp_path / "trec" / f"{tmp_path.name}-{name}.bm25.run").read_text() for name in "ab"]
        assert runs[0] != runs[1]
        assert set(read_rewrites(tmp_path / f"{tmp_path.name}-b.jsonl").texts) == {"shoe"}

    @pytest.mark.parametrize(
        ("retrievers", "file"),
        [
            (["dense:/runs/1/encoder/final", "dense:/runs/2/encoder/final"], "dense-encoder-final"),
            (["fusion:bm25+dense:/x/a/b", "fusion:bm25+dense:/y/a/b"], "fusion-bm25+dense-a-b"),
        ],
    )
    def test_runs_that_would_overwrite_each_other_are_refused(self, tmp_path, retrievers, file):
        command = ["--env", "no such environment", "--policy", "query", "--retrievers", ",".join(retrievers)]
        first, second, file = map(re.escape, (*retrievers, file))
        with pytest.raises(AgentError, match=f"of query under {first} and of query under {second} .* query.{file};"):
            evaluate.main([*command, "--trec", str(tmp_path)])
        with pytest.raises(TaskError, match="no such environment"):  # without files there is nothing to overwrite
            evaluate.main([*command, "--rewrites", str(tmp_path)])

    def test_one_query_has_no_interval(self, tmp_path, monkeypatch, capsys):
        def one(self, split):
            ids, prompts = prompts_of(self, split)
            return ids[:1], prompts[:1]

        prompts_of = RetrievalTask.prompts
        monkeypatch.setattr(RetrievalTask, "prompts", one)
        evaluate.main(self.command(["query"], tmp_path, "--plot", str(tmp_path / "matrix.png")))
        written = json.loads((tmp_path / "eval.json").read_text(), parse_constant=pytest.fail)
        assert written["policies"]["query"]["intervals"]["bm25"]["RR"][1:] == [None, None]
        assert written["policies"]["query"]["gains"]["bm25"]["RR"] == [0.0, None, None]
        printed = capsys.readouterr().out
        assert "0.000 [unknown]" in printed
        assert "nan" not in printed


def open_policies(monkeypatch, **writes):
    """Policies by name that evaluate.py finds besides its own; the names that were opened."""
    opened = []

    def kind(name, request):
        if name not in writes:
            return None
        opened.append(name)
        return ResolvedPolicy(writes[name])

    monkeypatch.setattr(table, "KINDS", (kind, *table.KINDS))
    return opened


def test_intervals_of_many_queries_are_near_the_normal_ones():
    values = np.random.default_rng(1).normal(size=400)
    found = mean_interval(values, 2000)
    half = 1.96 * values.std() / 20
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)
