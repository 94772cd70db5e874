"""The taskset under verifiers' own ``vf-eval``, where verifiers is installed (``make integrations``)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

from ospo_agents import assign_credit
from ospo_agents.policies.prompt_format import INSTRUCTION
from paths import ROOT
from stub_endpoint import completion, prompt_of, stub_endpoint

vf = pytest.importorskip("verifiers.v1", reason="verifiers is not installed; make integrations")

FOLDER = ROOT / "examples" / "verifiers"


def answer(request, before):
    """A rewrite of each prompt; the second rollout of a prompt holds none."""
    text = f"<answer>slide sandal, {prompt_of(request)}</answer>" if before == 0 else "no idea"
    if not request.get("stream"):
        return 200, completion(text)
    head = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "stub"}
    deltas = [({"role": "assistant", "content": text}, None), ({}, "stop")]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
    lines = [*map(json.dumps, chunks), "[DONE]"]
    return 200, "".join(f"data: {line}\n\n" for line in lines).encode(), {"Content-Type": "text/event-stream"}


def evaluate(directory, url, *options):
    """``vf-eval`` on the first two prompts of the test split, two rollouts each."""
    program = Path(sys.executable).with_name("vf-eval")
    command = [
        program,
        "ospo-rewrite",
        *("--model", "stub", "--client.base-url", url, "--client.api-key-var", "STUB_KEY"),
        *("--env.agent.harness.id", "null", "--env.agent.runtime.type", "subprocess"),
        *("--select.limit", "2", "--num-rollouts", "2", "--no-push", "--no-rich"),
        *("--output-dir", str(directory), "--max-concurrent", "1"),
        *options,
    ]
    path = os.pathsep.join([str(FOLDER), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "STUB_KEY": "none", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, timeout=900)


def traces_of(directory):
    lines = [line for path in directory.rglob("traces.jsonl") for line in path.read_text().splitlines()]
    return [trace for episode in map(json.loads, lines) for trace in episode.get("traces", [episode])]


def test_vf_eval_runs_it(tmp_path):
    with stub_endpoint(answer) as stub:
        done = evaluate(tmp_path, stub.url)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    assert all(request["messages"][0] == {"role": "system", "content": INSTRUCTION} for request in stub.requests)
    task = gym.make("ospo_env:OSPO-ESCI-v0").unwrapped.task
    ids, prompts = task.prompts("test")
    traces = traces_of(tmp_path)
    assert sorted(trace["task"]["data"]["id"] for trace in traces) == sorted(ids[:2] * 2)
    for trace in traces:
        query_id = trace["task"]["data"]["id"]
        reward = trace["rewards"]["ranking"]["score"]
        if trace["metrics"]["malformed"]:
            assert reward == 0
            assert "ospo" not in trace["info"]
            continue
        text = f"slide sandal, {prompts[ids.index(query_id)]}"
        (credited,) = assign_credit(task, [query_id], [text])
        assert reward == pytest.approx(credited.worth)
        assert trace["info"]["ospo"]["rewrite"] == text
        segments = trace["info"]["ospo"]["segments"]
        assert [one["text"] for one in segments] == [text[start:end] for start, end in credited.spans]
        assert [one["credit"] for one in segments] == pytest.approx(credited.credit.tolist())
    assert sum(trace["metrics"]["malformed"] for trace in traces) == 2
    assert max(trace["rewards"]["ranking"]["score"] for trace in traces) > 0


def test_settings_reach_the_task(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from ospo_rewrite import OspoRewrite

    from ospo_env.integrations.verifiers import RewriteConfig

    tasks = list(OspoRewrite(RewriteConfig(split="validation", retriever="lsa", compose="append", max_words=4)))
    data = gym.make("ospo_env:OSPO-ESCI-v0").unwrapped.task.prompts("validation")
    assert [task.data.id for task in tasks] == data[0]
    assert [task.data.prompt for task in tasks] == data[1]
    assert tasks[0].data.ospo["retriever"] == "lsa"
    assert {"compose": "append", "max_words": 4}.items() <= tasks[0].data.ospo.items()
    with pytest.raises(Exception, match="OSPO-ECSI"):
        list(OspoRewrite(RewriteConfig(env="OSPO-ECSI-v0")))
