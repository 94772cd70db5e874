"""The part of the study with a pretrained language model, on a model and data made on the spot."""

import dataclasses
import gzip
import json
import shutil

import numpy as np
import pytest

from chat_models import chat_directory
from ospo_agents import AgentError
from ospo_agents.policies.language_model import LanguageModelPolicy
from ospo_cli import study
from ospo_cli._study.numbers import crossed_interval
from ospo_cli._study.plan import METRIC
from ospo_cli._study.real_lm import cells, part, plan
from ospo_cli._study.real_lm.plan import DATA_SETS, METHODS, REFERENCES, LMCell, Measure
from ospo_cli._tasks import open_task
from small_run import write_data


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study: its arguments, and what it printed."""
    directory = tmp_path_factory.mktemp("real-lm")
    policy, data = chat_directory(directory / "model"), write_data(directory, demonstrations="expansions")
    argv = ["real-lm", "--quick", "--policy", str(policy), "--data", f"esci-graded={data}", "--steps", "2"]
    argv += ["--methods", "grpo", "ospo", "--out", str(directory / "out")]
    return directory, argv


def run_here(monkeypatch, argv):
    """Run the study in this process; returns its jobs by kind."""
    jobs = []

    def run_all(command, out, work, processes, label):
        for job in work:
            jobs.append(json.loads(job)["what"])
            study.main(["real-lm", *argv[1:], "--cell", job])

    with monkeypatch.context() as patch:
        patch.setattr(part, "run_all", run_all)
        study.main(argv)
    return jobs


def test_a_study_from_nothing_to_its_tables_and_again(finished, monkeypatch, capsys):
    directory, argv = finished
    jobs = run_here(monkeypatch, argv)
    assert jobs.count("warm start") == 1
    assert jobs.count("texts") == len(REFERENCES) + 2 + 2
    assert jobs.count("scores") == 4, "bm25 and lsa, on pools and on the corpus"
    printed = capsys.readouterr().out
    for method in (*REFERENCES, "zero-shot", "warm-start", "grpo", "ospo"):
        assert printed.count(f"| {method} |") >= 4, method
    assert "Learners on esci-graded, bm25, pool" in printed
    assert run_here(monkeypatch, argv) == [], "what is finished is kept"
    assert capsys.readouterr().out == printed

    about = DATA_SETS["esci-graded"]
    stored = directory / "out/cells/real-lm-esci-graded"
    (path,) = stored.glob("ospo-*.json.gz")
    texts = json.loads(gzip.decompress(path.read_bytes()))
    assert [point["rollouts"] for point in texts["curve"]] == [0.0, 64.0, 128.0]
    task = open_task(about.env, directory / "data", split="test", retriever="bm25", metric=METRIC, **about.modes)
    scores = json.loads(gzip.decompress(Measure("bm25", "pool", about.modes).path(path).read_bytes()))
    assert scores["greedy"] == task.rewards(texts["ids"], texts["greedy"]).tolist()
    assert np.shape(scores["sampled"]) == (2, len(texts["ids"]))


def test_fewer_words_and_other_weights_of_the_query(finished, monkeypatch, capsys):
    directory, argv = finished
    jobs = run_here(monkeypatch, [*argv, "--by-words", "1", "8", "--by-query-weight", "1", "3"])
    assert jobs == ["scores"] * 6, "two caps and one other weight, on pools and on the corpus; weight 3 is the task's"
    printed = capsys.readouterr().out
    assert "by words of a text that count" in printed
    assert "by times that the query counts" in printed
    about = DATA_SETS["esci-graded"]
    stored = directory / "out/cells/real-lm-esci-graded"
    path = stored / "association-epochs0.2-test48.json.gz"
    texts = json.loads(gzip.decompress(path.read_bytes()))
    task = open_task(
        about.env, directory / "data", split="test", retriever="bm25", metric=METRIC, max_words=1, **about.modes
    )
    first = [text.split()[0] if text else "" for text in texts["greedy"]]
    scores = json.loads(gzip.decompress(Measure("bm25", "pool", about.modes, 1).path(path).read_bytes()))
    assert scores["greedy"] == task.rewards(texts["ids"], first).tolist()


def test_without_a_model_the_references_alone_are_measured(finished, monkeypatch, capsys, tmp_path):
    _directory, argv = finished
    place = argv.index("--policy")
    argv = [*argv[:place], *argv[place + 2 : -1], str(tmp_path)]
    jobs = run_here(monkeypatch, argv)
    assert jobs.count("texts") == len(REFERENCES)
    assert "warm start" not in jobs
    printed = capsys.readouterr().out
    for method in REFERENCES:
        assert printed.count(f"| {method} |") == 4, "two tables of values, verdicts, texts"
    assert "sampled" not in printed
    assert "Learners on" not in printed


def test_policies_are_measured_on_another_data_set(finished, monkeypatch, capsys, tmp_path):
    _directory, argv = finished
    argv = [*argv[:-1], str(tmp_path / "out"), "--learning-rates", "1e-3", "1e-4"]
    place = argv.index("--data") + 1
    other = write_data(tmp_path)  # whose demonstrations are of another kind, and not needed
    argv[place : place + 1] = [f"crowdflower@esci-graded={other}", argv[place]]
    jobs = run_here(monkeypatch, argv)
    assert jobs.count("warm start") == 1
    assert jobs.count("texts") == 2 * len(REFERENCES) + 2 * (2 + 4), "four runs, each measured here and there"
    printed = capsys.readouterr().out
    assert printed.count("Learning rates on") == 1
    title = f"{METRIC} of crowdflower by policies that learned on esci-graded on pools, 1 seed"
    (table,) = (part for part in printed.split("\n\n**") if part.lstrip("*").startswith(title))
    assert [row.split(" | ")[0].strip("| ") for row in table.splitlines()[4:] if row][-2:] == ["grpo", "ospo"]
    assert "Learners on crowdflower by policies" in printed

    stored = tmp_path / "out/cells/real-lm-crowdflower"
    (there,) = stored.glob("ospo-lr0.001-*-on-esci-graded-test48.json.gz")
    (kept,) = (tmp_path / "out/policies/real-lm-esci-graded").glob("ospo-lr0.001-*")
    texts = json.loads(gzip.decompress(there.read_bytes()))
    task = open_task(DATA_SETS["crowdflower"].env, other, split="test", retriever="bm25", metric=METRIC)
    ids, prompts = task.prompts("test")
    assert texts["ids"] == ids[:48]
    assert texts["greedy"] == LanguageModelPolicy.open(kept, max_new_tokens=24)(ids[:48], prompts[:48])
    there.unlink()
    assert run_here(monkeypatch, [*argv, "--texts-only"]) == ["texts"], "the policy is kept"
    shutil.rmtree(tmp_path / "out/policies")
    assert run_here(monkeypatch, [*argv, "--texts-only"]) == [], "and needed for texts that are missing only"
    there.unlink()
    assert run_here(monkeypatch, [*argv, "--texts-only"]) == ["texts"] * 2, "it is trained again"
    assert json.loads(gzip.decompress(there.read_bytes()))["greedy"] == texts["greedy"], "same seed, same policy"


def test_a_reward_that_is_the_mean_under_two_retrievers(finished, monkeypatch, tmp_path):
    directory, argv = finished
    argv = [word.replace("esci-graded=", "nfcorpus-bm25-lsa=") for word in argv[:-1]] + [str(tmp_path), "--texts-only"]
    learned, train_policy = [], cells.train_policy

    def train(settings, start, *callbacks):
        learned.append(start.task)
        return train_policy(settings, start, *callbacks)

    monkeypatch.setattr(cells, "train_policy", train)
    run_here(monkeypatch, argv)
    about = DATA_SETS["nfcorpus-bm25-lsa"]
    (path,) = (tmp_path / "cells/real-lm-nfcorpus-bm25-lsa").glob("ospo-*.json.gz")
    report = json.loads(gzip.decompress(path.read_bytes()))
    assert report["start"]["reward_retrievers"] == ["bm25", "lsa"]
    ids, _prompts = learned[0].prompts("validation")
    texts = ["red travel mug", "lamp"] * (len(ids) // 2) + ["stapler"] * (len(ids) % 2)
    values = [
        open_task(about.env, directory / "data", split="train", retriever=name, metric=METRIC, **about.modes).rewards(
            ids, texts
        )
        for name in about.reward_retrievers
    ]
    for task in learned:
        assert task.rewards(ids, texts) == pytest.approx(np.mean(values, axis=0), abs=1e-12)
    assert np.abs(values[0] - values[1]).max() > 0.01, "the mean is neither"


def test_without_seeds_no_learner_is_trained(finished, monkeypatch, capsys):
    assert run_here(monkeypatch, [*finished[1], "--seeds", "0"]) == []
    printed = capsys.readouterr().out
    assert printed.count("| warm-start |") == 4
    assert "| ospo |" not in printed
    assert "Learners on" not in printed


def test_learning_rates_are_chosen_by_validation(finished, monkeypatch, capsys):
    directory, argv = finished
    argv = [*argv, "--learning-rates", "1e-5", "2e-5", "--texts-only"]
    assert run_here(monkeypatch, argv) == ["texts"] * 2, "those at 2e-5, the default, are there"
    assert capsys.readouterr().out == ""
    stored = directory / "out/cells/real-lm-esci-graded"
    for method, shift in (("ospo", 1), ("grpo", -1)):
        (path,) = stored.glob(f"{method}-lr1e-05-*.json.gz")
        report = json.loads(gzip.decompress(path.read_bytes()))
        report["curve"] = [{**point, "greedy": point["greedy"] + shift} for point in report["curve"]]
        path.write_bytes(gzip.compress(json.dumps(report).encode()))
    run_here(monkeypatch, argv[:-1])
    assert "Learning rates on esci-graded" in capsys.readouterr().out
    measured = {file.name.partition("-seed")[0] for file in (stored / "scores").iterdir()}
    assert {"ospo-lr1e-05", "grpo-lr2e-05"} <= measured
    assert "grpo-lr1e-05" not in measured


def test_texts_of_another_warm_start_are_not_taken(finished, monkeypatch):
    about, argv = DATA_SETS["esci-graded"], finished[1]
    other = {**DATA_SETS, "esci-graded": dataclasses.replace(about, warm_start_learning_rate=1e-3)}
    monkeypatch.setattr(plan, "DATA_SETS", other)
    with pytest.raises(AgentError, match=r"warm-start.*expected start .*0\.001.*got .*0\.0002.*remove it or change"):
        run_here(monkeypatch, argv)


def test_demonstrations_of_another_kind_are_refused(finished, monkeypatch, tmp_path):
    directory, argv = finished
    data = write_data(tmp_path)
    argv = [word.replace(str(directory / "data"), str(data)) for word in argv[:-1]] + [str(tmp_path / "out")]
    with pytest.raises(AgentError, match=r"esci-graded=.*of the kind expansions, got phrases; prepare .*--demonst"):
        run_here(monkeypatch, argv)


def test_arguments(tmp_path):
    for argv, message in [
        ([], "--data: the part real-lm needs data sets"),
        (["--policy", "x", "--data", "nowhere=y"], "expected NAME=DIR with a name of nfcorpus"),
        (["--policy", "x", "--data", "nfcorpus"], "expected NAME=DIR"),
        (["--policy", "x", "--data", "hm@nfcorpus=y"], "hm@nfcorpus: expected another data set of --data behind @"),
        (["--policy", "x", "--data", "hm@hm=y", "hm=y"], "hm@hm: expected another data set .* got 'hm'"),
        (["--policy", "x", "--data", "hm=y", "--methods", "rloo"], "expected of grpo, ospo"),
        (["--policy", "x", "--data", "hm=y", "--methods", "ospo", "phrases"], "ospo and phrases are one learner on hm"),
        (["--policy", "x", "--data", "hm=y", "--by-words", "4", "0"], "--by-words: expected 1 to 65536, got 0"),
        (["--policy", "x", "--data", "hm=y", "--by-query-weight", "500"], "--by-query-weight: expected 1 to 100"),
        (["--policy", "x", "--data", "hm=y", "--learning-rates", "0"], "--learning-rates: expected rates above 0"),
    ]:
        with pytest.raises(AgentError, match=message):
            study.parse(["real-lm", "--out", str(tmp_path), *argv])
    data = ["--data", "nfcorpus=y", "home-depot=y", "hm-associations=y"]
    every = study.parse(["real-lm", "--policy", "x", *data, "--out", str(tmp_path), "--methods", *METHODS])
    assert every.methods == list(METHODS)
    both = study.parse(
        ["real-lm", "--policy", "x", "--data", "nfcorpus=y", "hm@nfcorpus=z", "--methods", "ospo", "phrases"]
    )
    assert both.methods == ["ospo", "phrases"]  # two learners on nfcorpus, the only one that is trained on
    with pytest.raises(AgentError, match="--policy is of the part real-lm"):
        study.parse(["learning", "--policy", "x"])


def test_names_of_files_tell_cells_apart(tmp_path):
    cell = LMCell("hm", "d", "p", "ospo", {"learning_rate": 2e-5}, 0, 60, "test")
    others = [
        LMCell("hm", "d", "p", "ospo", {"learning_rate": 1e-5}, 0, 60, "test"),
        LMCell("hm", "d", "p", "ospo", {"learning_rate": 2e-5}, 1, 60, "test"),
        LMCell("hm", "d", "p", "ospo", {"learning_rate": 2e-5}, 0, 60, "test", warm_start_epochs=1.0),
        LMCell("hm", "d", "p", "ospo", {"learning_rate": 2e-5}, 0, 60, "test", queries=8),
        LMCell("hm", "d", "p", "ospo", {"learning_rate": 2e-5}, 0, 60, "test", trained_on="nfcorpus"),
    ]
    assert len({one.path(tmp_path) for one in [cell, *others]}) == 6
    modes = DATA_SETS["hm"].modes
    measures = [Measure("dense:a", "pool", modes), Measure("dense:b", "pool", modes), Measure("bm25", "pool", modes)]
    measures += [Measure("bm25", "pool", modes, 4), Measure("bm25", "pool", {**modes, "query_weight": 6})]
    assert len({measure.path(cell.path(tmp_path)) for measure in measures}) == 5


def test_the_interval_over_seeds_and_queries_is_wider_than_either():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(5, 1)) + generator.normal(size=(1, 40)) + generator.normal(size=(5, 40))

    def width(array):
        interval = crossed_interval(array)
        return interval.high - interval.low

    both, queries = width(values), width(np.broadcast_to(values.mean(axis=0), (5, 40)))
    assert both > 1.3 * queries
    assert width(np.ones((3, 4))) == 0
