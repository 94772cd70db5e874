"""A chat endpoint as a policy, against a local stub: order, retries, and failures that are errors."""

import json
import sys
import threading
import time
import traceback

import pytest

from ospo_agents import AgentError
from ospo_agents.policies.endpoint import EndpointPolicy
from ospo_agents.policies.prompt_format import INSTRUCTION, PromptFormat
from stub_endpoint import KEY, completion, echo, of_no_machine, prompt_of, stub_endpoint

pytest.importorskip("openai")
PROMPTS = [f"prompt {number}" for number in range(12)]
IDS = [f"p{number}" for number in range(12)]
REWRITTEN = [f"{prompt}, rewritten" for prompt in PROMPTS]


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    of_no_machine(monkeypatch)


def policy(stub, **settings):
    return EndpointPolicy("stub", stub.url, KEY, **settings)


def failure(stub, **settings):
    """The error of one prompt; nowhere in what a person sees of it is the key."""
    with pytest.raises(AgentError) as caught:
        policy(stub, **{"max_retries": 1, **settings})(["p0"], ["red shoe"])
    message = str(caught.value)
    assert "\n" not in message
    for seen in (message, "".join(traceback.format_exception(caught.value))):
        assert KEY not in seen
        assert repr(KEY)[1:-1] not in seen
    assert message.startswith(f"endpoint {stub.url}, model 'stub': expected a chat completion within ")
    return message


def test_a_request_is_what_a_model_of_this_project_would_read():
    with stub_endpoint() as stub:
        assert policy(stub, max_tokens=40, seed=3)(["p0"], ["red shoe"]) == ["red shoe, rewritten"]
        (request,) = stub.requests
        assert stub.authorizations == {("/v1/chat/completions", f"Bearer {KEY}")}
    messages = PromptFormat(INSTRUCTION, answer_tags=True).messages("red shoe")
    expected = {"model": "stub", "messages": messages, "temperature": 0.0, "max_tokens": 40, "seed": 3}
    assert request == expected


def test_what_is_left_to_the_endpoint_is_not_sent():
    with stub_endpoint() as stub:
        policy(stub, temperature=None, prompt_format=PromptFormat())(["p0"], ["red shoe"])
        assert stub.requests == [{"model": "stub", "messages": [{"role": "user", "content": "red shoe"}]}]


def test_texts_come_in_the_order_of_prompts_whichever_answer_is_first():
    finished = []
    gate = threading.Barrier(4, timeout=20)  # passed only if four requests are under way at once

    def answer(request, before):
        number = int(prompt_of(request).split()[-1])
        gate.wait()
        time.sleep(0.05 * (3 - number % 4))
        finished.append(number)
        return echo(request, before)

    done = []
    with stub_endpoint(answer) as stub:
        assert policy(stub, concurrency=4, progress=done.append)(IDS, PROMPTS) == REWRITTEN
    assert finished != sorted(finished)
    assert done == [1] * len(PROMPTS)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_asked_again(status):
    def answer(request, before):
        return echo(request, before) if before == 2 else (status, {"error": {"message": "busy"}})

    with stub_endpoint(answer) as stub:
        assert policy(stub, max_retries=2)(IDS, PROMPTS) == REWRITTEN
        assert len(stub.requests) == 3 * len(PROMPTS)


def test_a_lasting_failure_is_an_error_after_bounded_retries():
    with stub_endpoint(lambda *_: (500, {"error": {"message": f"no {KEY}\nhere"}})) as stub:
        message = failure(stub, max_retries=3)
        assert len(stub.requests) == 4
    assert message.endswith("3 retries; got HTTP 500: no *** here; wait, or look at the server's log")


def test_one_failure_among_many_gives_no_texts_and_stops_the_rest():
    def answer(request, before):
        return (400, {"error": {"message": "odd"}}) if prompt_of(request) == "prompt 1" else echo(request, before)

    with stub_endpoint(answer) as stub:
        many = [f"prompt {number}" for number in range(200)]
        with pytest.raises(AgentError, match="got HTTP 400: odd; check the model's name"):
            policy(stub, concurrency=2)(many, many)
        assert len(stub.requests) < 200


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "OPENAI_BASE_URL")]
)
def test_what_no_retry_helps_is_asked_once(status, advice):
    body = f'{{"error": {{"message": "Incorrect key: {KEY}"}}}}'.replace("\\", "\\\\").encode()
    with stub_endpoint(lambda *_: (status, body)) as stub:
        message = failure(stub, max_retries=5)
        assert len(stub.requests) == 1
    assert f"got HTTP {status}: Incorrect key: ***; " in message
    assert advice in message


def test_an_answer_that_does_not_come_is_an_error():
    release = threading.Event()

    def answer(request, before):
        release.wait(20)
        return echo(request, before)

    with stub_endpoint(answer) as stub:
        started = time.perf_counter()
        message = failure(stub, timeout=0.2)
        assert time.perf_counter() - started < 10
        assert len(stub.requests) == 2
        release.set()
    assert "got no answer in time; raise the timeout" in message


def test_a_server_that_does_not_run_is_an_error():
    with stub_endpoint() as stub:
        pass
    assert "check OPENAI_BASE_URL and that the server runs" in failure(stub)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>welcome</html>",
        b'{"choices": [',
        b"\xff\xfe",
        KEY.encode(),
        {"choices": []},
        {"choices": None},
        {},
        [],
        {"choices": [{}]},
        {"choices": [{"message": {"role": "assistant"}}]},
        completion(7),
        completion(["red"]),
    ],
    ids=repr,
)
def test_a_body_that_is_no_completion_is_an_error(body):
    with stub_endpoint(lambda *_: (200, body)) as stub:
        assert "got something else" in failure(stub)


@pytest.mark.parametrize(
    ("whole", "choice", "got"),
    [
        (
            {"error": {"message": f"upstream {KEY}", "code": 502}},
            {},
            'error in its place: {"message": "upstream',
        ),
        ({"error": "overloaded"}, {}, 'got an error in its place: "overloaded"; wait'),
        ({}, {"error": {"code": 502}}, 'got an error in its place: {"code": 502}; wait'),
        ({}, {"finish_reason": "error"}, "got an error in its place; wait"),
        ({"error": {"code": 502}, "choices": None}, {}, 'got an error in its place: {"code": 502}; wait'),
        ({"error": {"code": 502}, "choices": []}, {}, 'got an error in its place: {"code": 502}; wait'),
    ],
)
@pytest.mark.parametrize("content", ["", None, "<answer>red</answer>"])
def test_an_error_that_comes_as_a_success_is_an_error(whole, choice, got, content):
    body = completion(content)
    body["choices"][0] |= choice
    with stub_endpoint(lambda *_: (200, body | whole)) as stub:
        assert got in failure(stub)


def test_an_error_that_is_null_is_none():
    body = completion("<answer>red</answer>")
    body["choices"][0] |= {"error": None}
    with stub_endpoint(lambda *_: (200, body | {"error": None})) as stub:
        assert policy(stub)(["p0"], ["red shoe"]) == ["red"]


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_in_drips_is_an_error_in_time(status):
    """Each piece comes well within the timeout; the whole would take 10 seconds."""
    with stub_endpoint(lambda *_: (status, json.dumps(completion("red")).encode().ljust(500)), drip=0.02) as stub:
        started = time.perf_counter()
        message = failure(stub, timeout=0.3)
        assert 0.6 <= time.perf_counter() - started < 5
        assert len(stub.requests) == 2
    assert "got no answer in time; raise the timeout" in message


def test_an_answer_in_drips_that_comes_in_time_is_one():
    with stub_endpoint(drip=0.0001) as stub:
        assert policy(stub, timeout=20)(["p0"], ["red shoe"]) == ["red shoe, rewritten"]


@pytest.mark.parametrize(
    "written",
    [
        KEY,
        json.dumps(KEY)[1:-1],
        repr(KEY)[1:-1],
        json.dumps(json.dumps(KEY)[1:-1])[1:-1],
        "".join(f"\\u{ord(letter):04X}" for letter in KEY),
    ],
)
def test_the_key_is_hidden_however_it_is_written(written):
    with stub_endpoint(lambda *_: (200, f"before {written} after".encode())) as stub:
        assert "got something else: before *** after; check" in failure(stub)


def test_malformed_completions_give_empty_texts_and_are_counted():
    contents = {
        "prompt 0": "<answer>red shoe</answer>",
        "prompt 1": "red shoe",
        "prompt 2": "<answer>red shoe",
        "prompt 3": "<answer> </answer>",
        "prompt 4": None,
        "prompt 5": "",
    }
    with stub_endpoint(lambda request, _: (200, completion(contents[prompt_of(request)]))) as stub:
        endpoint = policy(stub)
        assert endpoint(IDS[:6], list(contents)) == ["red shoe", "", "", "", "", ""]
        assert endpoint.malformed == 4, "a blank rewrite is well formed"
        endpoint(IDS[:1], PROMPTS[:1])
        assert endpoint.malformed == 0, "of the last call alone"


def test_address_and_key_come_from_the_environment(monkeypatch):
    with stub_endpoint() as stub:
        monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
        monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
        assert EndpointPolicy("stub")(["p0"], ["red"]) == ["red, rewritten"]
        assert {key for _, key in stub.authorizations} == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_key": None}, r"OPENAI_API_KEY; it is not set. Where none is asked for, any word does$"),
        ({"api_key": " \n"}, "OPENAI_API_KEY; it is not set"),
        ({"api_key": "two words"}, "as one word of ASCII"),
        ({"api_key": "schlüssel"}, "as one word of ASCII"),
        ({"base_url": "localhost:8000"}, "base URL"),
        ({"base_url": "http://host:port/v1"}, "base URL"),
        ({"base_url": "http://[::1"}, "base URL"),
        ({"model": ""}, "name of the endpoint's model"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"concurrency": 0}, "concurrency"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_wrong_settings(settings, message):
    arguments = {"model": "stub", "base_url": "http://127.0.0.1:1/v1", "api_key": "word", **settings}
    with pytest.raises(AgentError, match=message) as caught:
        EndpointPolicy(**arguments)
    assert "\n" not in str(caught.value)


def test_no_secret_of_the_address_is_shown():
    endpoint = EndpointPolicy("stub", "http://me:hunter2@127.0.0.1:1/v1/?token=hunter2", KEY, max_retries=0)
    assert endpoint.endpoint == "http://127.0.0.1:1/v1"
    with pytest.raises(AgentError) as caught:
        endpoint(["p0"], ["red"])
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(AgentError, match=r"pip install 'ospo\[endpoint\]'"):
        EndpointPolicy("stub", "http://127.0.0.1:1/v1", KEY)
