"""The OpenEnv server through OpenEnv's own client, where openenv is installed (``make integrations``)."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import yaml

from paths import ROOT

pytest.importorskip("openenv", reason="openenv is not installed; make integrations")
import uvicorn
import websockets
from openenv.core import GenericEnvClient

from ospo_agents.integrations.segment_credit import segment_credit
from ospo_env import TaskError
from ospo_env.integrations.openenv import RewriteAction, RewriteEnvironment, make_app
from ospo_env.integrations.sessions import SharedTask

TEXT = "slide sandal, womens, suede shearling"


@pytest.fixture(scope="module")
def task():
    return gym.make("ospo_env:OSPO-ESCI-v0").unwrapped.task


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def url(task):
    """A server of 64 sessions on a thread."""
    config = uvicorn.Config(
        make_app(task, segment_credit(task), sessions=64), host="127.0.0.1", port=free_port(), log_level="warning"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait(lambda: server.started)
    yield f"http://127.0.0.1:{config.port}"
    server.should_exit = True
    thread.join(10)


def wait(ready, seconds=60):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_episode_is_that_of_the_environment(url, task):
    env = gym.make("ospo_env:OSPO-ESCI-v0")
    prompt, _ = env.reset(options={"query_id": "shopping-q00534"})
    _, reward, _, _, info = env.step(TEXT)
    with GenericEnvClient(base_url=url).sync() as client:
        start = client.reset(query_id="shopping-q00534")
        assert (start.observation["prompt"], start.done, start.reward) == (prompt, False, None)
        result = client.step({"text": TEXT})
        assert (result.reward, result.done) == (reward, True)
        assert result.observation["ranking"] == list(info["ranking"][:10])
        assert result.observation["metrics"] == info["metrics"]
        assert result.observation["segments"] == []
        client.reset(query_id="shopping-q00534")
        credited = client.step({"text": TEXT, "credit": True})
    segments = credited.observation["segments"]
    assert "".join(TEXT[int(one["start"]) : int(one["end"])] for one in segments) == TEXT
    np.testing.assert_allclose(sum(one["credit"] for one in segments), reward)
    assert len({one["credit"] for one in segments}) > 1


def test_a_prompt_is_drawn_by_seed_or_named_by_its_place(url, task):
    with GenericEnvClient(base_url=url).sync() as client, GenericEnvClient(base_url=url).sync() as other:
        first = [client.reset(seed=6).observation["query_id"], *(client.reset().observation["query_id"] for _ in "abc")]
        again = [other.reset(seed=6).observation["query_id"], *(other.reset().observation["query_id"] for _ in "abc")]
        assert first == again
        assert len(set(first)) > 1
        ids, prompts = task.prompts("test")
        named = client.reset(split="test", index=3).observation
        assert (named["query_id"], named["prompt"]) == (ids[3], prompts[3])


def test_wrong_requests_are_one_message_and_the_session_goes_on(url):
    with GenericEnvClient(base_url=url).sync() as client:
        for arguments, message in (
            ({"split": "trian"}, "unknown split 'trian'; did you mean 'train'"),
            ({"split": "test", "index": 10**6}, "expected an index in 0 .. "),
            ({"query_id": "shopping"}, "unknown query_id"),
            ({"index": 1, "query_id": "shopping-q00534"}, "expected index or query_id, but got both"),
            ({"sed": 1}, "unknown reset parameter 'sed'; did you mean 'seed'"),
        ):
            with pytest.raises(Exception, match=message):
                client.reset(**arguments)
        client.reset(seed=1)
        with pytest.raises(Exception, match=r"Invalid message|validation"):
            client.step({"txt": "red"})
        client.step({"text": "red"})
        with pytest.raises(Exception, match="expected reset before a step"):
            client.step({"text": "red"})


def test_the_task_provider_answers(url, task):
    import requests

    def post(route, **body):
        return requests.post(f"{url}/ospo/{route}", json=body, timeout=10)

    assert requests.get(f"{url}/health", timeout=10).status_code == 200
    ids, prompts = task.prompts("validation")
    assert post("num_tasks", split="validation").json() == {"num_tasks": len(ids)}
    assert post("task", split="validation", index=1).json()["task"] == {"id": ids[1], "index": 1, "prompt": prompts[1]}
    assert post("task", split="validation", index=10**6).status_code == 400


def test_sessions_at_the_same_time_share_calls(url, task):
    """48 sessions: each has its own prompts, and their steps together take few calls of the task."""
    calls, outcomes = [], task.outcomes

    def count(query_ids, texts):
        calls.append(len(texts))
        return outcomes(query_ids, texts)

    async def session(number, ready, go):
        async with websockets.connect(f"{url.replace('http', 'ws')}/ws", compression=None) as socket_:

            async def ask(kind, **data):
                await socket_.send(json.dumps({"type": kind, "data": data}))
                return json.loads(await socket_.recv())["data"]

            start = await ask("reset", split="train", index=number)
            ready.release()
            await go.wait()
            result = await ask("step", text=f"slide sandal, {number}")
            return start["observation"]["query_id"], result["reward"]

    async def sessions():
        ready, go = asyncio.Semaphore(0), asyncio.Event()
        tasks = [asyncio.create_task(session(number, ready, go)) for number in range(48)]
        for _ in tasks:
            await ready.acquire()
        go.set()
        return await asyncio.gather(*tasks)

    task.outcomes = count
    try:
        results = asyncio.run(sessions())
    finally:
        del task.outcomes
    ids = [query_id for query_id, _ in results]
    assert ids == task.prompts("train")[0][:48]
    rewards = task.rewards(ids, [f"slide sandal, {number}" for number in range(48)])
    np.testing.assert_array_equal([reward for _, reward in results], rewards)
    assert sum(calls) == 48
    assert len(calls) <= 24  # by themselves they would be 48


def test_steps_without_a_server(task):
    environment = RewriteEnvironment(SharedTask(task))
    assert RewriteEnvironment.SUPPORTS_CONCURRENT_SESSIONS
    with pytest.raises(TaskError, match="expected reset before a step"):
        environment.step(RewriteAction(text="red"))
    start = environment.reset(seed=6, episode_id="first")
    with pytest.raises(TaskError, match="this server gives no credit"):
        environment.step(RewriteAction(text="red", credit=True))
    assert environment.step(RewriteAction(text="red")).reward == task.rewards([start.query_id], ["red"])[0]
    assert (environment.state.episode_id, environment.state.step_count) == ("first", 1)
    assert environment.get_metadata().name == "ospo"
    assert environment.get_task_range("train", 1, 3) == environment.list_tasks("train")[1:3]
    with pytest.raises(TaskError, match="expected sessions of at least 1; got 0"):
        make_app(task, sessions=0)


def test_the_command_serves(tmp_path):
    port = free_port()
    options = ["--port", str(port), "--solution", "shapley"]
    command = [sys.executable, "-W", "ignore", "-m", "ospo_cli", "serve-env", *options]
    server = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, cwd=tmp_path)
    try:

        def listens():
            assert server.poll() is None
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait(listens)
        with GenericEnvClient(base_url=f"http://127.0.0.1:{port}").sync() as client:
            client.reset(query_id="shopping-q00534")
            result = client.step({"text": TEXT, "credit": True})
            assert sum(one["credit"] for one in result.observation["segments"]) == pytest.approx(result.reward)
    finally:
        server.terminate()
        server.wait(20)


def test_the_load_is_measured(tmp_path):
    command = [sys.executable, "-W", "ignore", str(ROOT / "examples" / "openenv" / "load.py"), "4", "3"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("4 sessions: ")


def test_the_container_serves_an_application(monkeypatch):
    """Its files name what there is; the image itself is not built."""
    folder = ROOT / "examples" / "openenv"
    manifest = yaml.safe_load((folder / "openenv.yaml").read_text())
    assert (manifest["app"], manifest["port"]) == ("app:app", 8000)
    monkeypatch.syspath_prepend(str(folder))
    import app

    assert {"/ws", "/health"} <= {getattr(route, "path", None) for route in app.app.routes}
    assert '"app:app"' in (folder / "Dockerfile").read_text()
    assert Path(app.__file__).parent == folder
