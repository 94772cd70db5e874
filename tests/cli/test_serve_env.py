"""The options of ``ospo serve-env``; tests/ospo_env/test_openenv.py starts it."""

import importlib.util

import numpy as np
import pytest

from ospo_agents import AgentError
from ospo_agents.integrations.segment_credit import segment_credit
from ospo_cli.serve_env import main, parse
from toy_task import ToyTask


def test_options():
    arguments = parse(["--port", "0", "--sessions", "2", "--compose", "append", "--solution", "shapley"])
    assert (arguments.host, arguments.port, arguments.sessions, arguments.compose) == ("127.0.0.1", 0, 2, "append")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--port", "70000"], "--port: expected 0 to 65535, got 70000"),
        (["--sessions", "0"], "--sessions: expected 1 to 100000, got 0"),
        (["--shown", "-1"], "--shown: expected 0 to 1000, got -1"),
    ],
)
def test_numbers_out_of_range(option, message):
    with pytest.raises(AgentError, match=message):
        parse(option)


def test_without_openenv_the_extra_is_named():
    if importlib.util.find_spec("openenv") is not None:
        pytest.skip("openenv is installed")
    with pytest.raises(ModuleNotFoundError, match="'openenv'"):
        main([])
    from ospo_cli._cli import EXTRAS

    assert EXTRAS["openenv"] == "openenv"


def test_credit_of_segments_is_assigned_in_one_call():
    task = ToyTask()
    ids = task.prompts("train")[0][:2]
    texts = ["red coat, wool", ", ".join(sorted(task.targets[ids[1]]))]
    shares = segment_credit(task, solution="shapley")(ids, texts)
    assert task.calls == 1
    for text, worth, segments in zip(texts, task.rewards(ids, texts), shares, strict=True):
        assert "".join(text[start:end] for start, end, _ in segments) == text
        np.testing.assert_allclose(sum(credit for _, _, credit in segments), worth)
    assert sum(credit for _, _, credit in shares[1]) > 0.9
    with pytest.raises(AgentError, match="did you mean 'shapley'"):
        segment_credit(task, solution="shaply")
    with pytest.raises(AgentError, match="did you mean 'phrases'"):
        segment_credit(task, segmenter="phrase")
