"""Training and commands on a search engine: one that dies ends the step with an error, and the run goes on later."""

import re

import pytest

from envs_data import load_prepared
from ospo_agents import AgentError
from ospo_agents.training import progress
from ospo_cli import evaluate
from ospo_cli._cli import _message
from ospo_env import RetrieverError, TaskError
from search_stub import stub_server
from small_run import OF_TINY, log, manifest, run, write_data

pytest.importorskip("urllib3", reason="urllib3 is not installed")
KEY = "hunter22-of-the-shop"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def engine(data, monkeypatch, tmp_path):
    """A stub with the data set's documents, and its specification."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    monkeypatch.setenv("OSPO_CACHE_DIR", str(tmp_path / "cache"))
    documents = load_prepared(data).documents
    with stub_server() as (stub, url):
        stub.access = f"Bearer {KEY}"
        rows = zip(documents.doc_ids, documents.texts, strict=True)
        stub.indices["docs"] = {doc_id: {"text": text} for doc_id, text in rows}
        paths = "ids=found.document.id&scores=found.rating&key_env=SHOP_KEY&deadline=3"
        yield stub, f"http:{url}/docs/find%3Fq={{query}}&k={{k}}?{paths}"


def test_an_engine_that_dies_ends_the_step_and_the_run_goes_on(tmp_path, data, engine, monkeypatch):
    stub, spec = engine
    shown, on_log = [], progress.LogFile.on_log

    def logged(self, args, state, control, logs=None, **kwargs):
        on_log(self, args, state, control, logs=logs, **kwargs)
        stub.lives = 1 if state.global_step == 1 and len(shown) == 0 else None  # one search more, and no other

    monkeypatch.setattr(progress.LogFile, "on_log", logged)
    monkeypatch.setattr(progress.ProgressBar, "on_train_end", lambda self, *_, **__: shown.append(dict(self.values)))
    out = tmp_path / "run"
    settings = {"data": data, "retriever": spec, "steps": 2, "save_steps": 1, "warm_start_epochs": 0, **OF_TINY}
    with pytest.raises(RetrieverError, match=r"retriever 'http' failed on a batch of .*: no answer within 3 s"):
        run(out, **settings)
    assert [row["step"] for row in log(out)] == [1]
    with pytest.raises(AgentError, match=r"which a file may not choose .*; if you trust it, repeat it: --retriever "):
        run(out, "--resume")
    stub.lives, shown[:] = None, [{}]
    before = len(stub.requests)
    run(out, "--resume", retriever=spec)
    assert [row["step"] for row in log(out)] == [1, 2]
    counted = {name.partition("/")[2]: count for name, count in log(out)[1].items() if name.startswith("evaluations/")}
    assert counted["stored"] > 0  # what was answered before it died
    assert len(stub.requests) - before > 8
    assert shown[-1]["calls"].isdecimal()
    assert shown[-1]["cached"].endswith("%")
    assert "key_env=SHOP_KEY" in manifest(out)["arguments"]["retriever"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_commands_say_what_is_wrong_with_an_engine(data, engine, capsys):
    _, spec = engine
    common = ["--env", "OSPO-ESCI-v0", "--data", str(data), "--split", "test", "--policy", "query"]
    wrong = {
        spec.replace("/docs/", "/dosc/"): "no such index",
        "http:http://127.0.0.1:9/%3F{query}?ids=a&scores=b": "no answer from the server at",
        spec.replace("SHOP_KEY", "NO_SUCH_KEY"): "from $NO_SUCH_KEY, which is not set",
        "tantivy:no-such-index": "expected an index of Tantivy in",
        "postgres:docs": "expected the variable that holds the connection string",
    }
    for retriever, message in wrong.items():
        with pytest.raises(TaskError, match=re.escape(message)) as refused:
            evaluate.main([*common, "--retrievers", retriever])
        line = _message(refused.value)  # of errors that end a command with exit code 2
        assert line is not None
        assert "\n" not in line
        assert KEY not in line
    evaluate.main([*common, "--retrievers", f"bm25,{spec}"])
    assert "http" in capsys.readouterr().out
