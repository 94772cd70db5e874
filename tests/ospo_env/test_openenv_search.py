"""The OpenEnv server in turns, where openenv is installed (``make integrations``)."""

import asyncio
import threading
import time

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("openenv", reason="openenv is not installed; make integrations")
import uvicorn
from openenv.core import GenericEnvClient

from ospo_agents.integrations.segment_credit import segment_credit
from ospo_cli import serve_env
from ospo_env import RetrievalTask, SearchTask, TaskError
from ospo_env.integrations.openenv_search import SearchAction, SearchEnvironment, SharedSearch, make_search_app
from shop import shop


@pytest.fixture(scope="module")
def task():
    return SearchTask(RetrievalTask(shop()), max_turns=2, price=0.125, shown=2)


@pytest.fixture(scope="module")
def url(task):
    """A server on a thread."""
    config = uvicorn.Config(make_search_app(task, segment_credit(task)), host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def test_an_episode_is_that_of_the_environment(url, task):
    env = gym.make("ospo_env:OSPO-Search-v0", data=shop(), max_turns=2, price=0.125, shown=2)
    prompt, _ = env.reset(options={"query_id": "q00"})
    with GenericEnvClient(base_url=url).sync() as client:
        start = client.reset(query_id="q00")
        assert (start.observation["conversation"], start.done, start.reward) == (prompt, False, None)
        for action in ("search: red coat", "black wool"):
            observation, reward, ended, _, info = env.step(action)
            result = client.step({"text": action, "credit": True})
            assert result.observation["conversation"] == observation
            assert result.observation["metrics"] == info["metrics"]
            assert result.done == ended
        assert (result.reward, result.observation["episode"]) == (reward, info["episode"])
        segments = result.observation["segments"]
        assert "".join(info["episode"][int(one["start"]) : int(one["end"])] for one in segments) == info["episode"]
        np.testing.assert_allclose(sum(one["credit"] for one in segments), reward)
        with pytest.raises(Exception, match="there is no open episode"):
            client.step({"text": "answer"})
        client.reset(query_id="q00")
        ended = client.step({"text": "answer"})
        assert (ended.reward, ended.done, ended.observation["turns"]) == (0.0, True, 0)
        with pytest.raises(Exception, match="unknown reset parameter 'sed'; did you mean 'seed'"):
            client.reset(sed=1)


def test_searches_of_sessions_at_the_same_time_are_one_call(task, monkeypatch):
    calls, search = [], task.search

    def count(prompt_ids, searches):
        calls.append(len(prompt_ids))
        return search(prompt_ids, searches)

    monkeypatch.setattr(task, "search", count)
    shared = SharedSearch.of(task)

    async def play(number):
        session = SearchEnvironment(shared)
        await session.reset_async(split="train", index=number % 4)
        await session.step_async(SearchAction(text="red coat"))
        return await session.step_async(SearchAction(text="answer"))

    async def play_all():
        return await asyncio.gather(*(play(number) for number in range(16)))

    results = asyncio.run(play_all())
    assert calls == [16]
    alone = SearchEnvironment(shared)
    alone.reset(split="train", index=3)
    alone.step(SearchAction(text="red coat"))
    last = alone.step(SearchAction(text="answer"))
    assert (results[3].reward, results[3].conversation) == (last.reward, last.conversation)


@pytest.mark.parametrize("between", ["reset", "search", "answer"])
def test_a_step_never_goes_into_another_episode(task, between):
    async def play():
        session = SearchEnvironment(SharedSearch.of(task))
        await session.reset_async(query_id="q00")
        later = {
            "reset": lambda: session.reset_async(query_id="q01"),
            "search": lambda: session.step_async(SearchAction(text="wool")),
            "answer": lambda: session.step_async(SearchAction(text="answer")),
        }[between]
        calls = session.step_async(SearchAction(text="red coat")), later()
        return await asyncio.gather(*calls, return_exceptions=True)

    results = asyncio.run(play())
    refused, made = sorted(results, key=lambda result: not isinstance(result, TaskError))
    assert "one call of a session at a time" in str(refused)
    expected = {"reset": ("q01", "", False), "search": ("q00", "red coat\n", False), "answer": ("q00", "", True)}
    assert (made.query_id, made.episode, made.done) == expected[between]


def test_credit_is_refused_where_there_is_none(task):
    session = SearchEnvironment(SharedSearch.of(task))
    session.reset(seed=0)
    with pytest.raises(TaskError, match="this server gives no credit"):
        session.step(SearchAction(text="red", credit=True))
    with pytest.raises(TaskError, match="sessions of at least 1; got 0"):
        make_search_app(task, sessions=0)
    assert "0.125 a search" in session.get_metadata().description


def test_the_program_serves_it(capsys):
    arguments = serve_env.parse(["--env", "OSPO-Search-v0", "--max-turns", "2", "--price", "0.05", "--shown", "3"])
    routes = {route.path for route in serve_env._app(arguments).routes}
    assert {"/reset", "/step", "/ws"} <= routes
    with pytest.raises(SystemExit):
        serve_env.parse(["--price", "0.05"])
    assert "add --env OSPO-Search-v0" in capsys.readouterr().err
