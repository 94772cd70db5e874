"""Whatever stands in ``run.json`` and ``log.jsonl``, programs end with one line, never with a traceback."""

import json
import random
import shutil
from pathlib import Path

import pytest

import small_run
from ospo_cli import evaluate, report, train
from ospo_cli._cli import _message
from ospo_cli._policies import Request, open_policy
from ospo_env import RetrievalTask, Rewrites, write_rewrites
from ospo_env.data_access import open_data

EVIL = "\x1b]0;owned\x07"


def open_policy_of(arguments):
    open_policy(arguments[0], Request("OSPO-ESCI-v0", None, "test", 0.0, None, 0))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return small_run.run(tmp_path_factory.mktemp("broken") / "run", steps=3, warm_start_epochs=0.1)


@pytest.fixture
def copy(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


def refused(main, *arguments):
    """The message, if a program refuses its input with one of the errors that ``run`` prints as a line."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as error:  # of the parser, which has printed its line
        return str(error)
    except Exception as error:
        message = _message(error)
        if message is None or "\n" in message:
            raise
        return message
    return None


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "[" * 100_000, "\x00", '{"arguments": []}', '{"arguments": {}, "status": "finished"}'],
)
def test_what_is_no_run(copy, content):
    (copy / "run.json").write_text(content)
    assert refused(report.main, "--run", copy)
    assert refused(train.main, "--resume", "--out", copy)
    assert refused(evaluate.main, "--env", "OSPO-ESCI-v9", "--policy", copy)


def written(first, task, ids, held_out):
    """In the place of the policy: the same rewrite for each query."""
    return dict.fromkeys(ids, "red coat")


@pytest.mark.parametrize("seed", range(40))
def test_changed_fields_and_lines(copy, seed, monkeypatch):
    """A field of another type, or none, and a line of the log that is damaged."""
    monkeypatch.setattr("ospo_cli._report.report._texts", written)  # the model is not damaged
    draw = random.Random(seed)
    values = [None, True, -1, 1e308, float("nan"), 10**400, "", f"x{EVIL}", "a/b:c", [], [1], {}, {"a": 1}]
    content = json.loads((copy / "run.json").read_text())
    fields = content if draw.random() < 0.3 else content["arguments"]
    name = draw.choice(sorted(fields))
    fields[name] = draw.choice(values)
    if draw.random() < 0.3:
        del fields[name]
    (copy / "run.json").write_text(json.dumps(content))
    lines = (copy / "log.jsonl").read_text().splitlines()
    row = json.loads(lines[1])
    row[draw.choice(["step", "reward", "reward_std", "loss"])] = draw.choice(values)
    lines[1] = draw.choice([lines[1], json.dumps(row), json.dumps(draw.choice(values)), lines[1][:20], "[" * 3000])
    (copy / "log.jsonl").write_text("\n".join(lines) + "\n")
    refused(report.main, "--run", copy, "--examples", "1")
    refused(open_policy_of, copy)
    (copy / "run.json").write_text(json.dumps(content | {"status": "unfinished"}))
    refused(train.parse, "--resume", "--out", copy)


def test_a_whole_run_is_not_refused(copy, monkeypatch):
    """The negative control of the tests above."""
    monkeypatch.setattr("ospo_cli._report.report._texts", written)
    assert refused(report.main, "--run", copy, "--examples", "1") is None
    assert refused(open_policy_of, copy) is None


def test_messages_name_file_and_field(copy):
    content = small_run.manifest(copy)
    (copy / "run.json").write_text(json.dumps(content | {"rollouts": "many"}))
    assert refused(report.main, "--run", copy) == f"{copy}/run.json: expected rollouts as int, got 'many'"
    (copy / "run.json").write_text(json.dumps(content))
    with (copy / "log.jsonl").open("a") as log:
        log.write("[1]\n")
    count = len((copy / "log.jsonl").read_text().splitlines())
    message = f"{copy}/log.jsonl, line {count}: expected a JSON object, got b'[1]'; the file is damaged, so train again"
    assert refused(report.main, "--run", copy) == message


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"notes": {"stage": 3}}, "expected stage as str | None, got '3'"),
        ({"notes": {"trained_on": ["bm25"]}}, "expected trained_on as str | None"),
        ({"notes": {"malformed": "\x1b[2J"}}, "expected malformed as int"),
        ({"notes": []}, "line 1: expected a header"),
        ({"max_words": "many"}, "line 1: expected a header"),
        ({"max_words": True}, "expected max_words as an integer"),
        ({"candidates": "all"}, "unknown candidates 'all'"),
        ({"metric": "nDCG@0"}, "nDCG@0"),
    ],
    ids=str,
)
def test_stored_rewrites_with_strange_fields(tmp_path, header, message):
    data = open_data("shopping", None)
    ids = tuple(RetrievalTask(data).prompts("test")[0])
    rewrites = Rewrites(
        "OSPO-ESCI-v0", None, data.fingerprint, "theirs", ids, ("red",) * len(ids), {}, 16, "pool", "RR"
    )
    path = tmp_path / "r.jsonl"
    write_rewrites(path, rewrites)
    command = ("--env", "OSPO-ESCI-v0", "--policy", path, "--retrievers", "bm25")
    assert refused(evaluate.main, *command) is None
    first, *rows = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | header), *rows]) + "\n")
    assert message in refused(evaluate.main, *command)
