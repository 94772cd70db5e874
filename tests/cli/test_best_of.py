"""``best-of:G:POLICY``: what it samples, which text it keeps, and what it says of that."""

import json

import numpy as np
import pytest

from ospo_agents import AgentError
from ospo_agents.policies.language_model import LanguageModelPolicy
from ospo_cli import evaluate
from ospo_cli._best_of import choose, draw_seeds, parse_best_of, share_of_progress
from ospo_cli._policies import Request, open_policy
from ospo_env import RetrievalTask, Rewrites, make_reference_policy, read_rewrites, write_rewrites
from ospo_env.data_access import open_data
from shop import task
from small_run import manifest, run, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    return run(tmp_path_factory.mktemp("run") / "run", data=data, steps=1, warm_start_epochs=2, temperature=0.9)


def evaluated(data, out, *arguments):
    own = ["--env", "OSPO-ESCI-v0", "--data", str(data), "--split", "train", "--json", str(out / "m.json")]
    evaluate.main([*own, *map(str, arguments)])
    return json.loads((out / "m.json").read_text())["policies"]


def test_the_best_is_kept_and_the_first_of_equals():
    on = task()
    ids = ["q00", "q01", "q00"]
    draws = [["bag", "x", "red coat"], ["red coat", "y", "bag"], ["red coat", "blue", "shoe"]]
    best, valued = choose(on, ids, draws)
    rewards = np.array([on.rewards(ids, texts) for texts in draws])
    assert best == [draws[row][column] for column, row in enumerate(rewards.argmax(axis=0))]  # argmax takes the first
    assert on.rewards(ids, best).tolist() == rewards.max(axis=0).tolist()
    assert rewards.max(axis=0).mean() > rewards.mean(), "the choice matters"
    assert valued == len({(key, text) for texts in draws for key, text in zip(ids, texts, strict=True)}) == 6
    assert choose(on, ["q00"], [["nothing known"], ["zz"]])[0] == ["nothing known"]


def test_a_run_is_sampled_at_the_temperature_of_its_training(trained, data, tmp_path, capsys):
    name = f"best-of:3:{trained}"
    rows = evaluated(data, tmp_path, "--policy", name, "--retrievers", "lsa,bm25", "--rewrites", tmp_path / "texts")
    opened = RetrievalTask(open_data(None, data))
    ids, prompts = opened.prompts("train")
    policy = LanguageModelPolicy.open(trained / "policy", temperature=0.9, seed=draw_seeds(0, 1)[0])
    sampled = np.array(policy(ids * 3, prompts * 3), dtype=object).reshape(3, -1)  # str arrays lose a last NUL
    rewards = np.array([opened.rewards(ids, texts.tolist()) for texts in sampled])  # under bm25, as in training
    (file,) = (tmp_path / "texts").glob("*.jsonl")
    kept = read_rewrites(file)
    assert kept.texts == tuple(sampled[row][column] for column, row in enumerate(rewards.argmax(axis=0)))
    assert rows[name]["metrics"]["bm25"]["nDCG@10"] == pytest.approx(rewards.max(axis=0).mean(), abs=1e-12)
    assert len({tuple(texts) for texts in sampled.tolist()}) == 3, "the samples differ"
    assert (rows[name]["stage"], rows[name]["trained_on"]) == ("after RL", "bm25")
    valued = len({(key, text) for texts in sampled.tolist() for key, text in zip(ids, texts, strict=True)})
    said = (
        f"{name}: the best of 3 rewrites a query, sampled at temperature 0.9, chosen by nDCG@10 under bm25 (its "
        "retriever of training) from judgements of the evaluated queries: an upper reference, not a policy to deploy; "
        f"{valued} evaluations to choose."
    )
    assert said in capsys.readouterr().out.splitlines()
    # What it says is kept with stored rewrites.
    evaluated(data, tmp_path, "--policy", file, "--retrievers", "bm25")
    assert said.partition(": ")[2] in capsys.readouterr().out


def test_the_temperature_of_the_command_line_comes_first(trained, data, tmp_path):
    rows = evaluated(data, tmp_path, "--policy", f"best-of:2:{trained}", "--retrievers", "bm25", "--temperature", "0.5")
    assert "at temperature 0.5," in rows[f"best-of:2:{trained}"]["remark"]


def test_random_texts_are_drawn_with_seeds_of_their_own(data, tmp_path):
    rows = evaluated(data, tmp_path, "--policy", "random", "best-of:4:random", "--retrievers", "lsa,bm25")
    opened = RetrievalTask(open_data(None, data), "lsa")  # the first retriever, since none of training is known
    ids, prompts = opened.prompts("train")
    texts = [make_reference_policy("random", opened, seed)(ids, prompts) for seed in draw_seeds(0, 4)]
    best = np.max([opened.rewards(ids, some) for some in texts], axis=0)
    row = rows["best-of:4:random"]
    assert row["metrics"]["lsa"]["nDCG@10"] == pytest.approx(best.mean(), abs=1e-12)
    assert "under lsa (the first of the retrievers here, since none" in row["remark"]
    assert row["metrics"]["lsa"]["nDCG@10"] > rows["random"]["metrics"]["lsa"]["nDCG@10"], "and more is better"
    assert "remark" not in rows["random"]


def test_what_a_policy_was_made_for_holds_for_its_samples(trained):
    request = Request("OSPO-ESCI-v0", None, "test", 0.0, None, 0)
    assert open_policy(f"best-of:2:{trained}", request).made_for == open_policy(str(trained), request).made_for != {}


@pytest.mark.parametrize("count", ["", "0", "1", "-2", "1025", "four", "2.5", "٤", "1" * 9_999, "4 "])
def test_wrong_counts(count):
    with pytest.raises(AgentError, match="expected best-of:G:POLICY with G from 2 to 1024, got") as error:
        parse_best_of(f"best-of:{count}:random")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("best-of:4", "expected a policy too, for example best-of:4:runs/demo"),
        ("best-of:4:", "expected a policy too"),
        ("best-of:4:query", "expected a policy that samples, but query does not"),
        ("best-of:4:oracle", "expected a policy that samples, but oracle does not"),
        ("best-of:2:best-of:2:random", "expected a policy that samples, but best-of:2:random does not"),
        ("best-of:4:randm", "did you mean 'random'"),
        ("best-of:4:no/such/run", "no/such/run"),
    ],
)
def test_policies_that_do_not_sample(name, message, tmp_path):
    with pytest.raises(AgentError, match=message):
        evaluate.main(["--env", "OSPO-ESCI-v0", "--policy", name, "--json", str(tmp_path / "m.json")])


def test_stored_rewrites_are_not_sampled(data, tmp_path):
    opened = RetrievalTask(open_data(None, data))
    ids, _ = opened.prompts("train")
    stored = Rewrites("OSPO-ESCI-v0", str(data), opened.data.fingerprint, "mine", tuple(ids), ("x",) * len(ids))
    write_rewrites(tmp_path / "x.jsonl", stored)
    with pytest.raises(AgentError, match=r"expected a policy that samples, but .*x.jsonl does not"):
        evaluated(data, tmp_path, "--policy", f"best-of:2:{tmp_path / 'x.jsonl'}")


def test_a_file_chooses_no_retriever_that_runs_code(trained, data, tmp_path):
    before = manifest(trained)
    spoilt = {**before, "arguments": {**before["arguments"], "retriever": "my_module:retriever"}}
    (trained / "run.json").write_text(json.dumps(spoilt))
    try:
        with pytest.raises(AgentError, match="repeat it: --retrievers my_module:retriever"):
            evaluated(data, tmp_path, "--policy", f"best-of:2:{trained}", "--retrievers", "bm25")
        spoilt["arguments"]["temperature"] = float("inf")
        (trained / "run.json").write_text(json.dumps(spoilt))
        with pytest.raises(AgentError, match="expected a temperature above 0, got inf"):
            evaluated(data, tmp_path, "--policy", f"best-of:2:{trained}", "--retrievers", "bm25")
    finally:
        (trained / "run.json").write_text(json.dumps(before))


def test_progress_is_told_in_whole_prompts():
    told = []
    update = share_of_progress(told.append, 4)
    for done in (3, 3, 1, 1, 8):
        update(done)
    assert told == [1, 1, 2]
