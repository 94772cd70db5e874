"""What a file names runs no code: runs and stored rewrites may choose registered ids and local retrievers only.

A module that writes a file when it is imported stands for a stranger's code; its trace says whether it ran.
"""

import json
import sys

import pytest

import small_run
from ospo_agents import AgentError
from ospo_cli import evaluate, report
from ospo_env import Rewrites, TaskError, read_rewrites, rescore, write_rewrites
from ospo_env.data_access import open_data

FINGERPRINT = "0" * 64


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return small_run.run(tmp_path_factory.mktemp("run") / "run", steps=1, warm_start_epochs=0.1)


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A module that can be imported, and the trace that it leaves when it is."""
    trace = tmp_path / "it-ran"
    (tmp_path / "stranger.py").write_text(f"open({str(trace)!r}, 'w').close()\n\ndef make(*arguments): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    return trace


@pytest.fixture
def changed(trained, tmp_path):
    """Change arguments in a copy of the run's ``run.json``."""

    def change(**arguments):
        out = tmp_path / "changed"
        out.mkdir(exist_ok=True)
        for name in ("policy", "warmstart", "log.jsonl", "curves.png"):
            if not (out / name).exists():
                (out / name).symlink_to(trained / name)
        content = small_run.manifest(trained)
        content["arguments"] |= arguments
        (out / "run.json").write_text(json.dumps(content))
        return out

    return change


NAMES = [
    {"retriever": "stranger:make"},
    {"retriever": "fusion:bm25+stranger:make"},
    {"retriever": "fusion:bm25+stranger%3Amake"},
    {"retriever": "pty:spawn"},
    {"env": "stranger:OSPO-ESCI-v0"},
    {"retriever": "dense:/somewhere/else"},
    {"retriever": "rerank:somebody/model?hub=true"},
]


@pytest.mark.parametrize("arguments", NAMES, ids=str)
def test_a_report_runs_nothing_that_a_run_names(changed, stranger, arguments):
    ((name, value),) = arguments.items()
    out = changed(**arguments)
    with pytest.raises(AgentError, match="which a file may not choose") as refused:
        report.main(["--run", str(out)])
    assert f"repeat it: --{name} " in str(refused.value)
    assert value in str(refused.value)
    assert not stranger.exists()
    assert not (out / "report.html").exists()


def test_a_person_may_repeat_it(changed, stranger):
    """The negative control: the same name on the command line is imported."""
    out = changed(retriever="stranger:make")
    with pytest.raises(TaskError, match="stranger:make"):
        report.main(["--run", str(out), "--retriever", "stranger:make"])
    assert stranger.exists()


def test_a_repeated_name_is_that_of_the_run(changed):
    with pytest.raises(AgentError, match=r"--retriever: .* was trained with bm25, got lsa"):
        report.main(["--run", str(changed()), "--retriever", "lsa"])


@pytest.mark.parametrize("arguments", NAMES, ids=str)
def test_an_evaluation_opens_nothing_that_a_run_names(changed, stranger, arguments, capsys):
    """A run's retriever and environment are facts about it; what ranks is what the command line says."""
    command = ["--env", "OSPO-ESCI-v0", "--split", "validation", "--retrievers", "bm25"]
    evaluate.main([*command, "--policy", str(changed(**arguments))])
    assert not stranger.exists()


def test_stored_rewrites_import_nothing(tmp_path, stranger):
    data = open_data("shopping", None)
    rewrites = Rewrites("stranger:OSPO-ESCI-v0", None, data.fingerprint, "theirs", ("shopping-q00534",), ("red",))
    write_rewrites(tmp_path / "r.jsonl", rewrites)
    with pytest.raises(TaskError, match="a file may not name a module to import"):
        read_rewrites(tmp_path / "r.jsonl")
    with pytest.raises(TaskError, match="a file may not name a module to import"):
        evaluate.main(["--env", "OSPO-ESCI-v0", "--policy", str(tmp_path / "r.jsonl")])
    assert not stranger.exists()


def test_code_may_name_a_module(stranger):
    """The negative control: rewrites made in code are somebody's own."""
    with pytest.raises(TaskError, match="cannot make the environment"):
        rescore(Rewrites("stranger:OSPO-Other-v0", None, FINGERPRINT, "mine", ("q",), ("red",)), "bm25")
    assert stranger.exists()


@pytest.mark.parametrize("env_id", ["CartPole-v1", "GymV21Environment-v0", "OSPO-Nothing-v0"])
def test_other_environments_are_refused(env_id):
    with pytest.raises(TaskError, match="environment"):
        rescore(Rewrites(env_id, None, FINGERPRINT, "theirs", ("q",), ("red",)), "bm25")
