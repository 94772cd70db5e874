"""A chat endpoint as a policy of evaluate.py, against a local stub."""

import json
import logging

import pytest

from ospo_agents import AgentError
from ospo_cli import evaluate
from ospo_env import read_rewrites
from stub_endpoint import KEY, completion, echo, of_no_machine, prompt_of, stub_endpoint

pytest.importorskip("openai")
COMMAND = ("--env", "OSPO-HM-v0", "--split", "validation", "--retrievers", "bm25")


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    of_no_machine(monkeypatch)


def test_an_endpoint_is_a_policy(tmp_path, monkeypatch, capsys, caplog):
    def answer(request, before):
        return (200, completion("none")) if "dress" in prompt_of(request) else echo(request, before)

    caplog.set_level(logging.DEBUG)
    with stub_endpoint(answer) as stub:
        monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        report = tmp_path / "eval.json"
        more = ["--json", str(report), "--rewrites", str(tmp_path / "rewrites"), "--max-new-tokens", "50"]
        evaluate.main([*COMMAND, "--policy", "query", "openai:stub", *more])
        malformed = sum("dress" in prompt_of(request) for request in stub.requests)
        sent = [{key: request[key] for key in request if key != "messages"} for request in stub.requests]
        assert sent == [{"model": "stub", "temperature": 0.0, "max_tokens": 50}] * len(sent)
    row = json.loads(report.read_text())["policies"]["openai:stub"]
    assert (row["endpoint"], row["malformed"]) == (stub.url, malformed)
    rewrites = read_rewrites(tmp_path / "rewrites" / "openai-stub.jsonl")
    assert rewrites.texts.count("") == malformed > 0
    assert len(rewrites.texts) == len(stub.requests) > malformed
    shown = capsys.readouterr()
    assert f"openai:stub: {malformed} of {len(rewrites.texts)} completions hold no rewrite" in shown.out
    assert shown.err == "", "bars are for terminals"
    assert KEY not in shown.out + shown.err + caplog.text + report.read_text()


def test_a_failure_ends_the_evaluation(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with stub_endpoint(lambda *_: (404, {"error": {"message": "no model"}})) as stub:
        monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
        with pytest.raises(AgentError, match="got HTTP 404: no model"):
            evaluate.main([*COMMAND, "--policy", "openai:stub", "--json", str(tmp_path / "eval.json")])
    assert not (tmp_path / "eval.json").exists()


def test_the_key_is_asked_for_before_anything_starts():
    with pytest.raises(AgentError, match="OPENAI_API_KEY; it is not set"):
        evaluate.main(["--env", "no such environment", "--policy", "openai:stub"])
