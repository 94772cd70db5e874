"""``ospo evaluate --guard``: what the guard's rule does to rewrites, beside a plain computation of it."""

import json

import numpy as np
import pytest

from ospo_cli.evaluate import parse
from ospo_env.evaluation.guard import THRESHOLDS
from programs import ospo
from shop import task, write_shop

MODES = {"compose": "append"}
REWRITES = ["red", "zzz", "wool, linen, leather, cotton, bag", "shoe shoe shoe bag", ""]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    write_shop(tmp_path_factory.mktemp("guarded") / "shop")
    return tmp_path_factory.getbasetemp() / "guarded0" / "shop"


@pytest.fixture(scope="module")
def rewrites(data):
    """A file with a rewrite or two for each query."""
    path = data.parent / "rewrites.jsonl"
    lines = []
    for number in range(12):
        for more in range(2 if number % 3 == 2 else 1):
            lines.append({"query_id": f"q{number:02d}", "rewrite": REWRITES[(number + more) % len(REWRITES)]})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def evaluated(data, out, *arguments):
    command = ["evaluate", "--env", "OSPO-Rewrite-v0", "--data", data, "--json", out, *arguments]
    return ospo(*command, "--retrievers", "bm25")


def plain(rewrites, split, share):
    """Gains of each query with the guard and without, and the number of rewrites that it keeps."""
    one, corpus = task(**MODES), task(**MODES, candidates="corpus")
    ids = one.prompts(split)[0]
    with_guard, without, kept = {key: [] for key in ids}, {key: [] for key in ids}, 0
    for line in map(json.loads, rewrites.read_text().splitlines()):
        key, text = line["query_id"], line["rewrite"]
        if key not in with_guard:
            continue
        (raw,), (after,) = corpus.rankings([key], [""]), corpus.rankings([key], [text])
        keeps = len(set(raw[:10]) & set(after[:10])) >= share * len(raw[:10])
        gain = one.rewards([key], [text])[0] - one.rewards([key], [""])[0]
        kept += keeps
        without[key].append(gain)
        with_guard[key].append(gain if keeps else 0.0)
    return [np.array([np.mean(gains[key]) for key in ids]) for gains in (with_guard, without)], kept


def signs(gains):
    return [int((gains > 1e-9).sum()), int((abs(gains) <= 1e-9).sum()), int((gains < -1e-9).sum())]


@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
def test_a_given_share(data, rewrites, tmp_path, share):
    done = evaluated(data, tmp_path / "e.json", "--policy", "query", rewrites, "--guard", share, "--split", "train")
    assert done.returncode == 0, done.stderr
    guard = json.loads((tmp_path / "e.json").read_text())["guard"]
    assert (guard["depth"], list(guard["policies"])) == (10, [str(rewrites)])  # the raw query itself has none
    effect = guard["policies"][str(rewrites)]["bm25"]
    (guarded, without), kept = plain(rewrites, "train", share)
    assert (effect["threshold"], effect["chosen_on"], effect["kept"]) == (share, 0, kept)
    for name, gains in (("with", guarded), ("without", without)):
        assert effect[name]["gain"][0] == pytest.approx(gains.mean())
        assert [effect[name][key] for key in ("wins", "ties", "losses")] == signs(gains)
    assert effect["change"][0] == pytest.approx((guarded - without).mean())
    assert (effect["with"] == effect["without"]) == (share == 0.0)
    assert f"share {share:g}, {kept} of {effect['rewrites']} rewrites kept" in done.stdout
    assert "the raw query is sent where fewer than a share of its first 10 documents" in done.stdout


def test_a_share_is_chosen_on_validation_queries(data, rewrites, tmp_path):
    done = evaluated(data, tmp_path / "e.json", "--policy", rewrites, "--guard", "--split", "test")
    assert done.returncode == 0, done.stderr
    effect = json.loads((tmp_path / "e.json").read_text())["guard"]["policies"][str(rewrites)]["bm25"]
    texts = [json.loads(line) for line in rewrites.read_text().splitlines()]
    one = task(**MODES)
    own = [line for line in texts if line["query_id"] in one.prompts("validation")[0]]
    gains = np.array([one.rewards([line["query_id"]], [line["rewrite"]])[0] for line in own])
    of_raw = np.array([one.rewards([line["query_id"]], [""])[0] for line in own])
    corpus = task(**MODES, candidates="corpus")
    tops = [
        [set(corpus.rankings([line["query_id"]], [text])[0][:10]) for text in ("", line["rewrite"])] for line in own
    ]
    overlaps = np.array([len(before & after) / len(before) for before, after in tops])
    keys = [line["query_id"] for line in own]
    assert len(keys) > len(set(keys))  # some have two
    means = []
    for share in THRESHOLDS:
        kept = np.where(overlaps >= share, gains, of_raw)
        means.append(np.mean([np.mean(kept[[one == key for one in keys]]) for key in dict.fromkeys(keys)]))
    assert effect["threshold"] == THRESHOLDS[int(np.argmax(means))]
    changed = {line["query_id"] for line in own if line["rewrite"]}
    assert effect["chosen_on"] == len(changed)
    assert f"(chosen on {len(changed)} validation queries)" in done.stdout


def test_queries_without_a_rewrite_choose_nothing(data, rewrites, tmp_path):
    lines = [json.loads(line) for line in rewrites.read_text().splitlines()]
    first, second, *_ = task(**MODES).prompts("validation")[0]
    others = [line for line in lines if line["query_id"] in task(**MODES).prompts("test")[0]]
    one, none = tmp_path / "one.jsonl", tmp_path / "none.jsonl"
    sent_as_it_is = {"query_id": second, "rewrite": ""}
    one.write_text("".join(json.dumps(line) + "\n" for line in [*others, {"query_id": first, "rewrite": "red"}]))
    none.write_text("".join(json.dumps(line) + "\n" for line in [*others, sent_as_it_is]))
    done = evaluated(data, tmp_path / "e.json", "--policy", one, "--guard", "--compose", "append")
    assert "(chosen on 1 validation queries)" in done.stdout, done.stderr
    done = evaluated(data, tmp_path / "f.json", "--policy", none, "--guard", "--compose", "append")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"--guard: its share is chosen on validation queries, and {none} rewrites none of them" in done.stderr
    assert not (tmp_path / "f.json").exists()


def test_there_has_to_be_something_to_guard(data, rewrites, tmp_path):
    done = evaluated(data, tmp_path / "e.json", "--policy", "query", "--guard", "0.5")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--guard: expected a policy whose rewrites it guards, beside 'query'" in done.stderr
    lines = [json.loads(line) for line in rewrites.read_text().splitlines()]
    tested = tmp_path / "tested.jsonl"
    own = [line for line in lines if line["query_id"] in task(**MODES).prompts("test")[0]]
    tested.write_text("".join(json.dumps(line) + "\n" for line in own))
    done = evaluated(data, tmp_path / "e.json", "--policy", tested, "--guard")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "validation queries; give one, such as --guard 0.3: " in done.stderr
    assert "expected rewrites of validation queries" in done.stderr


def test_what_cannot_be_chosen_is_asked_for(data, rewrites, tmp_path):
    done = evaluated(data, tmp_path / "e.json", "--policy", rewrites, "--guard", "--split", "validation")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--guard: its share is chosen on validation queries, which are evaluated here; give one" in done.stderr
    stored = tmp_path / "stored"
    assert evaluated(data, tmp_path / "e.json", "--policy", rewrites, "--rewrites", stored).returncode == 0
    (path,) = stored.iterdir()
    done = evaluated(data, tmp_path / "f.json", "--policy", path, "--guard")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--guard: its share is chosen on validation queries; give one, such as --guard 0.3: " in done.stderr
    assert not (tmp_path / "f.json").exists()
    assert evaluated(data, tmp_path / "f.json", "--policy", path, "--guard", "0.5").returncode == 0
    done = evaluated(data, tmp_path / "f.json", "--policy", path, "--guard", "1.5")
    assert "--guard: expected a share in 0 to 1, got 1.5" in done.stderr


def test_the_option():
    policies = ["--env", "OSPO-ESCI-v0", "--policy", "query"]
    assert parse(policies).guard is None
    assert parse([*policies, "--guard"]).guard is True
    assert parse([*policies, "--guard", "0.3"]).guard == 0.3
