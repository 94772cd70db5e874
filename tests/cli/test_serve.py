"""The rewrite service: batches, deadline, cache, guard, phrases, metrics, HTTP, and a run from disk."""

import asyncio
import json
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import numpy as np
import pytest
from cachetools import TTLCache
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from ospo_agents import AgentError
from ospo_cli import serve
from ospo_cli._serve import opening
from ospo_cli._serve.answers import Answers
from ospo_cli._serve.app import make_app
from ospo_cli._serve.metrics import Metrics
from ospo_cli._serve.records import Request
from ospo_cli._serve.service import Service
from ospo_cli._tasks import open_task
from ospo_env import RetrieverError
from ospo_env.evaluation.guard import Guard, top_overlaps
from ospo_env.scoring.calls import rankings
from programs import ospo
from rewrite_server import RewriteServer
from shop import EachWordOnce, Wrapped, task
from small_run import run

JSON = {"content-type": "application/json"}
APPEND = {"compose": "append", "repeats": "once"}


class Policy:
    """A policy that answers from a table, counts its batches, and waits or fails where it is told to."""

    def __init__(self, table=None):
        self.table = table or {}
        self.batches = []
        self.free = threading.Event()
        self.free.set()
        self.broken = set()

    def __call__(self, ids, prompts):
        self.batches.append(list(prompts))
        self.free.wait(30)
        if self.broken & set(prompts):
            raise RuntimeError("no such token")
        return [self.table.get(prompt, f"red {prompt}") for prompt in prompts]


def make(policy, guard=None, report=lambda line: None, on=None, **settings):
    one = task(**APPEND) if on is None else on
    return Service(Answers(policy, one, guard, report=report), Metrics(), report=report, **settings)


def asked(service, *requests):
    """Answers, or errors, of requests that come together."""

    async def together():
        return await asyncio.gather(*map(service, requests), return_exceptions=True)

    return asyncio.run(together())


def value(service, name, **labels):
    return service.metrics.registry.get_sample_value(name, labels) or 0


class TestBatches:
    def test_requests_that_come_together_are_one_call_with_the_answers_of_single_ones(self):
        requests = [Request(f"coat {number}", ("linen dress",) * (number % 2)) for number in range(32)]
        together, alone = Policy(), Policy()
        assert asked(make(together), *requests) == [asked(make(alone), request)[0] for request in requests]
        assert [len(batch) for batch in together.batches] == [32]
        assert len(alone.batches) == 32
        assert together.batches[0][:2] == ["coat 0", "coat 1 | linen dress"]

    def test_batches_are_bounded_and_counted(self):
        policy = Policy()
        service = make(policy, most=5)
        asked(service, *(Request(f"coat {number}") for number in range(12)))
        assert sorted(len(batch) for batch in policy.batches) == [2, 5, 5]
        assert (value(service, "ospo_batch_size_count"), value(service, "ospo_batch_size_sum")) == (3, 12)

    def test_equal_requests_are_answered_once(self):
        policy = Policy()
        service = make(policy)
        answers = asked(service, *[Request("coat")] * 4, Request("coat", guard=True))
        assert [len(batch) for batch in policy.batches] == [1]
        assert len({answer.sent for answer in answers}) == 1
        assert value(service, "ospo_answers_total", source="policy") == 5

    def test_a_request_that_fails_fails_alone(self):
        policy, lines = Policy(), []
        policy.broken = {"coat 3"}
        service = make(policy, report=lines.append)
        answers = asked(service, *(Request(f"coat {number}") for number in range(6)))
        assert [isinstance(answer, RuntimeError) for answer in answers] == [number == 3 for number in range(6)]
        assert lines == ["error: a rewrite failed: RuntimeError: no such token"]
        assert value(service, "ospo_errors_total") == 1


class TestTexts:
    @pytest.mark.parametrize(
        "modes", [{}, APPEND, {"compose": "append", "query_weight": 3}, {"repeats": "once", "max_words": 3}], ids=str
    )
    def test_what_is_sent_is_what_the_environment_sends(self, modes):
        one = task(**modes)
        id_of = dict(zip(*one.prompts("train")[::-1], strict=True))  # equal prompts are one
        prompts, ids = list(id_of)[:4], list(id_of.values())[:4]
        queries = [one.query(prompt_id) for prompt_id in ids]
        assert any(about.history for about in queries)
        rewrites = ["red wool coat, red shoe", "zzz", "coat please wool", "linen bag please"]
        requests = [Request(about.query, about.history) for about in queries]
        service = make(Policy(dict(zip(prompts, rewrites, strict=True))), on=one)
        answers = asked(service, *requests)
        assert [answer.sent for answer in answers] == one.sent(ids, rewrites)
        assert [answer.rewrite for answer in answers] == rewrites
        raw = [service.answers.raw(request, "timeout") for request in requests]
        assert [answer.sent for answer in raw] == one.sent(ids, one.raw_rewrites(ids))
        assert [answer.rewrite for answer in raw] == one.raw_rewrites(ids)
        assert [answer.sent for answer in answers] != rewrites or modes == {}  # negative control

    @pytest.mark.parametrize("modes", [{}, APPEND], ids=str)
    def test_an_empty_rewrite_is_the_raw_query(self, modes):
        service = make(Policy({"coat coat": " "}), on=task(**modes))
        (answer,) = asked(service, Request("coat coat"))
        assert (answer.reason, answer.sent) == ("blank", "coat" if modes else "coat coat")
        assert value(service, "ospo_answers_total", source="blank") == 1


class TestDeadline:
    def test_what_is_too_slow_is_the_raw_query_and_counted(self):
        policy = Policy()
        service = make(policy, timeout=500, cache=TTLCache(10, 60))
        policy.free.clear()

        async def slow():
            loop, later = asyncio.get_running_loop(), [0.0]
            loop.time = lambda: time.monotonic() + later[0]
            written = asyncio.create_task(service(Request("coat", phrases=True)))
            while not policy.batches:
                await asyncio.sleep(0.001)
            waiting = [asyncio.create_task(service(Request(query))) for query in ("shoe", "bag")]
            await asyncio.sleep(0)
            later[0] += 1000
            raw = [await written, *[await one for one in waiting]]
            last = asyncio.create_task(service(Request("bag")))
            policy.free.set()
            return raw, (await last).reason, await service(Request("coat", phrases=True))

        raw, reason, again = asyncio.run(slow())
        assert [answer.sent for answer in raw] == ["coat", "shoe", "bag"]
        assert [answer.reason for answer in raw] == ["timeout"] * 3
        assert [answer.phrases for answer in raw] == [(), None, None]
        assert value(service, "ospo_timeouts_total") == value(service, "ospo_answers_total", source="timeout") == 3
        assert reason is None
        assert (again.reason, again.rewrite) == (None, "red coat")  # the late answer is kept, the raw query is not
        assert policy.batches == [["coat"], ["bag"]]  # nobody waits for the others any more

    def test_a_quick_policy_never_is(self):
        service = make(Policy(), timeout=30)
        assert asked(service, Request("coat"))[0].reason is None
        assert value(service, "ospo_timeouts_total") == 0

    def test_a_timeout_of_somebody_else_is_an_error(self):
        service = make(lambda ids, prompts: (_ for _ in ()).throw(TimeoutError("no answer")), timeout=30)
        (error,) = asked(service, Request("coat"))
        assert isinstance(error, TimeoutError)
        assert value(service, "ospo_timeouts_total") == 0


class TestEngine:
    def held(self, **settings):
        """A service whose engine waits to be let go, and that engine."""
        engine, free, rank = Wrapped(task().retriever), threading.Event(), task().retriever.rank_corpus
        engine.asked = []

        def rank_corpus(text, k):
            engine.asked.append(text)
            free.wait(30)
            return rank(text, k)

        engine.rank_corpus, engine.free = rank_corpus, free
        return make(Policy(), Guard(0.1), on=task(engine, **APPEND), **settings), engine

    @pytest.mark.parametrize("asks", [{"guard": True}, {"phrases": True}], ids=str)
    def test_a_plain_rewrite_waits_for_no_engine(self, asks):
        service, engine = self.held(timeout=30)

        async def mixed():
            slow = asyncio.create_task(service(Request("coat", **asks)))
            beside = asyncio.create_task(service(Request("shoe")))
            while not engine.asked:
                await asyncio.sleep(0.001)
            plain = [await beside, await service(Request("bag")), await service(Request("coat"))]
            unfinished = not slow.done()  # negative control
            engine.free.set()
            return plain, unfinished, await slow

        plain, unfinished, slow = asyncio.run(mixed())
        assert [answer.sent for answer in plain] == ["shoe red", "bag red", "coat red"]
        assert [answer.reason for answer in plain] == [None] * 3
        assert unfinished
        assert slow.sent == plain[2].sent

    def test_a_rewrite_that_was_written_in_time_is_kept_where_the_engine_is_late(self):
        service, engine = self.held(timeout=0.2, cache=TTLCache(9, 60))
        (late,) = asked(service, Request("coat", guard=True))
        assert late.reason == "timeout"
        assert asked(service, Request("coat"))[0].rewrite == "red coat"
        assert len(service.answers._policy.batches) == 1
        engine.free.set()

    @pytest.mark.parametrize("asks", [{"guard": True}, {"phrases": True}], ids=str)
    def test_a_text_that_the_engine_refuses_fails_alone(self, asks):
        engine, lines = Wrapped(task().retriever), []
        rank = engine.rank_corpus

        def refuses(text, k):
            if "\0" in text:
                raise ValueError("no such character")
            return rank(text, k)

        engine.rank_corpus = refuses
        service = make(Policy(), Guard(0.0), lines.append, on=task(engine, **APPEND))
        queries = ["coat", "a\0b", "shoe", "bag", "c\0d"]
        answers = asked(service, *(Request(query, **asks) for query in queries))
        bad = [isinstance(answer, RetrieverError) or answer.reason == "guard-error" for answer in answers]
        assert bad == ["\0" in query for query in queries]
        alone = make(Policy(), Guard(0.0), on=task(**APPEND))
        assert [answers[row] for row in (0, 2, 3)] == [
            asked(alone, Request(queries[row], **asks))[0] for row in (0, 2, 3)
        ]
        assert len(lines) == 1
        assert " 2 rewrites: retriever 'wrapped-bm25' failed" in lines[0]

    def test_the_first_call_of_the_engine_is_made_before_a_request_comes(self):
        engine, policy = Wrapped(task().retriever), Policy()
        rank, asked_for = engine.rank_corpus, []
        engine.rank_corpus = lambda text, k: asked_for.append(text) or rank(text, k)
        Answers(policy, task(engine)).warm_up("red coat")
        assert policy.batches == [["red coat"]]
        assert "red coat" in asked_for
        engine.rank_corpus = lambda text, k: 1 / 0
        with pytest.raises(RetrieverError, match="ZeroDivisionError"):
            Answers(policy, task(engine)).warm_up("red coat")

    def test_an_engine_that_fails_slowly_is_not_asked_again_for_each_text(self):
        engine, calls = Wrapped(task().retriever), []

        def slow(text, k):
            calls.append(text)
            time.sleep(0.02)
            raise OSError("no answer")

        engine.rank_corpus = slow
        service = make(Policy(), Guard(0.0), on=task(engine, **APPEND))
        written = [(request, service.answers.write([request])[0]) for request in map(Request, "abcdef")]
        written = [(request._replace(guard=True), answer) for request, answer in written]
        assert [answer.reason for answer in service.answers.check(written, seconds=0.01)] == ["guard-error"] * 6
        assert len(calls) == 1
        service.answers.check(written)
        assert len(calls) == 1 + 1 + 6  # negative control


class TestCache:
    def test_answers_are_kept_by_all_that_changes_them(self):
        policy = Policy()
        service = make(policy, Guard(0.5), cache=TTLCache(100, 60))
        requests = [
            Request("coat"),
            Request("Coat"),
            Request("coat", ("bag",)),
            Request("coat", guard=True),
            Request("coat", phrases=True),
        ]
        first = asked(service, *requests)
        assert asked(service, *requests) == first
        assert [len(batch) for batch in policy.batches] == [3]  # guard and phrases change no rewrite
        assert [value(service, "ospo_cache_total", result=result) for result in ("miss", "hit")] == [5, 5]
        assert first[4].phrases
        assert first[0].phrases is None
        asked(service, Request("coat", ("bag",), phrases=True))
        assert len(policy.batches) == 1  # the rewrite was kept

    def test_it_is_bounded_and_forgets(self):
        policy, now = Policy(), [0.0]
        service = make(policy, cache=TTLCache(2, 60, timer=lambda: now[0]))
        for query in ("a", "b", "c", "c", "a"):
            asked(service, Request(query))
        assert [batch[0] for batch in policy.batches] == ["a", "b", "c", "a"]
        now[0] = 61.0
        asked(service, Request("a"))
        assert len(policy.batches) == 5

    def test_without_one_nothing_is_kept(self):
        policy = Policy()
        service = make(policy)
        asked(service, Request("coat"))
        asked(service, Request("coat"))
        assert len(policy.batches) == 2
        assert value(service, "ospo_cache_total", result="miss") == 0


class TestGuard:
    TABLE = {"red coat": "wool", "coat": "shoe, bag, dress, leather, linen"}  # noqa: RUF012

    def test_the_rule_is_that_of_the_evaluation(self):
        one = task(**APPEND)
        ids = one.prompts("train")[0][:4]
        queries = [one.query(prompt_id).query for prompt_id in ids]
        rewrites = ["red wool", "shoe bag leather dress linen cotton", "black", "zzz"]
        overlaps = top_overlaps(one, ids, rewrites)
        assert 0 < min(overlaps) < 1
        for threshold in (0.0, float(overlaps.min()) + 0.05, 1.0):
            service = make(Policy(dict(zip(queries, rewrites, strict=True))), Guard(threshold))
            for query, rewrite, kept in zip(queries, rewrites, Guard(threshold).keeps(overlaps), strict=True):
                service.answers._policy.table[query] = rewrite
                guarded, free = asked(service, Request(query, guard=True), Request(query))
                assert (guarded.reason, guarded.rewrite) == ((None, rewrite) if kept else ("guard", ""))
                assert free.reason is None

    def test_decisions_are_counted(self):
        service = make(Policy(self.TABLE), Guard(0.95))
        answers = asked(service, Request("coat", guard=True), Request("coat"), Request("coat", guard=True))
        assert [answer.reason for answer in answers] == ["guard", None, "guard"]
        assert [answer.sent for answer in answers] == ["coat", "coat shoe, bag, dress, leather, linen", "coat"]
        assert value(service, "ospo_guard_total", decision="query") == 2
        assert value(service, "ospo_guard_total", decision="rewrite") == 0

    def test_an_engine_that_fails_means_the_raw_query_counted_and_told(self):
        broken, lines = Wrapped(task().retriever), []
        service = make(Policy(), Guard(0.0), lines.append, on=task(broken, **APPEND), cache=TTLCache(9, 60))
        rank, broken.rank_corpus = broken.rank_corpus, lambda text, k: 1 / 0
        guarded, free = asked(service, Request("coat", guard=True), Request("coat"))
        assert (guarded.sent, guarded.reason) == ("coat", "guard-error")
        assert free.reason is None
        assert value(service, "ospo_guard_total", decision="error") == 1
        assert len(lines) == 1
        assert "the guard could not compare 1 rewrites: retriever 'wrapped-bm25' failed" in lines[0]
        broken.rank_corpus = rank  # it is back, and the failure was not kept
        assert asked(service, Request("coat", guard=True))[0].reason is None


class TestPhrases:
    def test_credit_sums_to_the_gain_over_the_raw_query(self):
        service = make(Policy({"coat": "red wool, zzz"}))
        (answer,) = asked(service, Request("coat", phrases=True))
        assert "".join(phrase.text for phrase in answer.phrases) == answer.rewrite
        assert [answer.rewrite[phrase.start : phrase.end] for phrase in answer.phrases] == ["red wool,", " zzz"]
        red, unknown = (phrase.credit for phrase in answer.phrases)
        assert unknown == pytest.approx(0)
        one = task(**APPEND)
        (whole, _), (raw, _) = rankings(one.retriever, [answer.sent, "coat"], 10, one.data.documents.height)
        dcg = [sum(1 / np.log2(rank + 2) for rank, row in enumerate(rows) if row in whole) for rows in (whole, raw)]
        assert red + unknown == pytest.approx(1 - dcg[1] / dcg[0])  # the whole is worth 1 by definition
        assert 0.1 < red + unknown < 0.9

    @pytest.mark.parametrize(
        ("retriever", "calls"),
        [("bm25", None), (EachWordOnce(task().retriever, linear=False), 20)],
        ids=["linear", "not"],
    )
    def test_credit_is_that_of_the_request_whatever_stands_beside_it(self, retriever, calls):
        words = "red, wool, shoe, bag, leather, dress, coat, linen, cotton, black, please, blue, green, white"
        policy = Policy({query: words for query in ("coat", "shoe")})
        one = task(retriever, max_words=50, **APPEND)
        requests = [Request(query, phrases=True) for query in ("shoe", "coat")]
        services = [Service(Answers(policy, one, calls=calls), Metrics()) for _ in range(2)]
        together = asked(services[0], *requests)
        assert together == [asked(services[1], request)[0] for request in requests]
        assert [len(answer.phrases) for answer in together] == [14] * 2  # more than are credited exactly
        assert together[0] != together[1]

    def test_a_rewrite_that_matches_nothing_has_none(self):
        service = make(Policy({"zzz": "yyy, xxx", "coat": "red"}))
        nothing, other = asked(service, Request("zzz", phrases=True), Request("coat", phrases=True))
        assert (nothing.phrases, nothing.reason) == ((), None)
        assert len(other.phrases) == 1
        assert asked(make(Policy({"zzz": "yyy"})), Request("zzz", phrases=True))[0].phrases == ()

    def test_a_failing_engine_fails_those_that_ask_and_no_other(self):
        broken, lines = Wrapped(task().retriever), []
        service = make(Policy(), report=lines.append, on=task(broken, **APPEND))
        broken.rank_corpus = lambda text, k: 1 / 0
        credited, plain = asked(service, Request("coat", phrases=True), Request("coat"))
        assert "ZeroDivisionError" in str(credited)
        assert plain.rewrite == "red coat"
        assert value(service, "ospo_errors_total") == 1
        assert "no credit for the phrases of 1 rewrites" in lines[0]


@pytest.fixture
def client():
    policy = Policy({"coat": "red wool, shoe"})
    service = make(policy, Guard(0.2), cache=TTLCache(100, 60))
    with TestClient(make_app(service, {"policy": "mine"}, longest=50)) as client:
        client.service, client.policy = service, policy
        yield client


class TestHttp:
    def test_an_answer(self, client):
        response = client.post("/rewrite", json={"query": "coat"})
        assert (response.status_code, response.json()) == (
            200,
            {"rewrite": "red wool, shoe", "sent": "coat red wool, shoe", "reason": None, "phrases": None},
        )
        full = client.post("/rewrite", json={"query": "coat", "history": ["bag"], "guard": True, "phrases": True})
        assert client.policy.batches[-1] == ["coat | bag"]
        assert {"start", "end", "text", "credit"} == set(full.json()["phrases"][0])

    def test_health(self, client):
        assert client.get("/health").json() == {"status": "ok", "policy": "mine"}

    def test_metrics(self, client):
        for query in ("coat", "coat", "shoe", ""):
            client.post("/rewrite", json={"query": query, "guard": True})
        client.get("/health")
        families = text_string_to_metric_families(client.get("/metrics").text)
        samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
        assert samples["ospo_requests_total", ("status", "200")] == 3
        assert samples["ospo_requests_total", ("status", "422")] == 1
        assert samples["ospo_request_seconds_count",] == 4
        assert samples["ospo_request_seconds_bucket", ("le", "+Inf")] == 4
        assert samples["ospo_cache_total", ("result", "hit")] == 1
        assert samples["ospo_cache_total", ("result", "miss")] == 2
        assert samples["ospo_batch_size_count",] == 2
        assert samples["ospo_timeouts_total",] == 0
        assert sum(count for name, count in samples.items() if name[0] == "ospo_guard_total") == 3

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "query: Field required"),
            ({"query": 7}, "query: Input should be a valid string"),
            ({"query": " \n"}, "query: expected a text that is not blank"),
            ({"query": "coat" * 20}, "query: expected at most 50 characters, those of the history included; got 80"),
            ({"query": "coat", "history": ["b" * 47]}, "expected at most 50 characters, those of the history"),
            ({"query": "coat", "history": ["b"] * 101}, "history: List should have at most 100 items"),
            ({"query": "coat", "history": "bag"}, "history: Input should be a valid list"),
            ({"query": "coat", "guard": "yes"}, "guard: Input should be a valid boolean"),
            ({"query": "coat", "gaurd": True}, "gaurd: Extra inputs are not permitted"),
            ({"query": None, "history": [None]}, "(and 1 more)"),
            (["coat"], "body: Input should be a valid dictionary"),
        ],
        ids=str,
    )
    def test_bad_input_is_one_line(self, client, body, message):
        response = client.post("/rewrite", json=body)
        assert (response.status_code, list(response.json())) == (422, ["error"])
        assert message in response.json()["error"]
        assert "\n" not in response.json()["error"]
        assert client.policy.batches == []

    @pytest.mark.parametrize(
        ("content", "status"),
        [
            (b"", 422),
            (b"{", 422),
            (b"\xff\xfe", 422),
            (b"[" * 60_000, 400),
            (b'{"query": NaN}', 422),
            (b'{"query": "coat", "query": 7}', 422),
        ],
        ids=lambda part: repr(part[:12]) if isinstance(part, bytes) else str(part),
    )
    def test_bodies_that_are_no_requests(self, client, content, status):
        response = client.post("/rewrite", content=content, headers=JSON)
        assert (response.status_code, list(response.json())) == (status, ["error"])
        assert value(client.service, "ospo_requests_total", status=str(status)) == 1

    def test_a_large_body_is_not_read(self, client):
        response = client.post("/rewrite", json={"query": "coat", "history": ["b" * 66_200]})
        assert (response.status_code, response.text) == (413, "Content Too Large")
        drips = client.post("/rewrite", content=(b'{"query": "' + b"a" * 40_000 for _ in range(9)))
        assert (drips.status_code, drips.json()) == (413, {"error": "Content Too Large"})
        assert value(client.service, "ospo_requests_total", status="413") == 2
        allowed = json.dumps({"query": "\U0001f45f" * 50}).encode()  # the longest that a query may be
        assert client.post("/rewrite", content=allowed, headers=JSON).status_code == 200

    @pytest.mark.parametrize(
        "query",
        ["red \ud83d coat", "赤い靴", "\x00\x1b[2J", "a\u0301" * 20, "</script>", "| ; |", "\u2028coat"],
        ids=ascii,
    )
    def test_any_text_is_a_query(self, client, query):
        body = json.dumps({"query": query}).encode()  # escapes lone surrogates
        response = client.post("/rewrite", content=body, headers=JSON)
        assert response.status_code == 200
        assert "\ud83d" not in client.policy.batches[0][0]
        assert response.json()["sent"]

    def test_wrong_routes_and_methods(self, client):
        assert client.get("/rewrite").json() == {"error": "Method Not Allowed"}
        assert client.get("/docs").status_code == 404

    def test_failures_of_the_policy_show_nothing_of_it(self, client):
        client.policy.broken = {"coat"}
        response = client.post("/rewrite", json={"query": "coat"})
        assert (response.status_code, response.json()) == (
            500,
            {"error": "the policy failed; the server's log says how"},
        )
        assert client.post("/rewrite", json={"query": "bag"}).status_code == 200

    def test_without_a_guard_none_is_pretended(self):
        with TestClient(make_app(make(Policy()), {})) as client:
            response = client.post("/rewrite", json={"query": "coat", "guard": True})
            assert response.status_code == 422
            assert "guard: this server has none; start it with --guard THRESHOLD" in response.json()["error"]
            assert client.post("/rewrite", json={"query": "coat"}).status_code == 200


@pytest.fixture(scope="module")
def trained(tmp_path_factory, warm_started):
    """A run that appends, and the data set that it lies beside."""
    return run(tmp_path_factory.mktemp("serve") / "run", **warm_started, steps=1, **APPEND), warm_started["data"]


class TestRun:
    def test_32_clients_get_what_the_environment_gets_one_at_a_time(self, trained):
        from ospo_agents.policies.language_model import LanguageModelPolicy

        out, data = trained
        one = open_task("OSPO-ESCI-v0", data, split=None, retriever="bm25", metric="nDCG@10", **APPEND)
        policy = LanguageModelPolicy.open(out)
        ids, prompts = one.prompts("train")
        rewrites = [policy([prompt_id], [prompt])[0] for prompt_id, prompt in zip(ids, prompts, strict=True)]
        sent = dict(zip(prompts, one.sent(ids, rewrites), strict=True))
        with (
            RewriteServer("--policy", out, "--data", data, "--cache", 0, "--timeout", 60) as server,
            httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client,
        ):
            with ThreadPoolExecutor(32) as clients:
                bodies = [{"query": prompts[number % len(prompts)]} for number in range(64)]
                answers = list(clients.map(lambda body: client.post("/rewrite", json=body).json(), bodies))
            assert [answer["sent"] for answer in answers] == [sent[body["query"]] for body in bodies]
            assert all(answer["reason"] in (None, "blank") for answer in answers)
            assert any(answer["reason"] is None for answer in answers)
            health = client.get("/health").json()
            assert (health["compose"], health["repeats"], health["max_words"]) == ("append", "once", 16)
            assert (health["retriever"], health["stage"]) == ("bm25", "after RL")
            sizes = client.get("/metrics").text
        assert "ospo_batch_size_sum 64.0" in sizes
        assert "ospo_batch_size_count 64.0" not in sizes  # some came together

    def test_what_a_run_may_not_choose_is_asked_for(self, trained, tmp_path):
        out, data = trained
        done = ospo("serve", "--policy", out, "--port", 0)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert f"if you trust it, repeat it: --data {data}" in done.stderr
        stranger = shutil.copytree(out, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
        manifest = json.loads((out / "run.json").read_text())
        for name, named, message in (
            ("retriever", "http:http://evil.example/{query}?ids=i&scores=s", "which a file may not choose"),
            ("env", "stranger:OSPO-Other-v0", "names the environment 'stranger:OSPO-Other-v0'"),
            ("retriever", 7, "expected retriever as str, got '7'"),
        ):
            changed = {**manifest, "arguments": {**manifest["arguments"], name: named}}
            (stranger / "run.json").write_text(json.dumps(changed))
            done = ospo("serve", "--policy", stranger, "--data", data, "--port", 0)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1)
            assert message in done.stderr

    def test_the_engine_is_that_of_the_run_itself_among_several_that_rewarded(self, tmp_path):
        (tmp_path / "policy").mkdir()
        settings = {"algo": "ospo", "env": "OSPO-ESCI-v0", "data": None, "retriever": "chargram"}
        arguments = serve.parse(["--policy", str(tmp_path)])
        for more in ({}, {"reward_retrievers": ["bm25", "chargram"]}):
            (tmp_path / "run.json").write_text(json.dumps({"arguments": {**settings, **more}}))
            assert opening._open_task(arguments, tmp_path / "policy").retriever.name == "chargram"
        named = serve.parse(["--policy", str(tmp_path), "--retriever", "bm25"])
        assert opening._open_task(named, tmp_path / "policy").retriever.name == "bm25"

    def test_a_policy_of_no_run_needs_an_environment(self, trained, tmp_path):
        out, _ = trained
        alone = shutil.copytree(out / "policy", tmp_path / "alone")
        done = ospo("serve", "--policy", alone, "--port", 0)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "--env: expected an environment id, such as OSPO-ESCI-v0, since" in done.stderr
        assert "expected a trained policy at" in ospo("serve", "--policy", tmp_path, "--port", 0).stderr

    def test_a_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = ospo("serve", "--policy", "runs/own", "--port", port)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert f"--port: cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--port", "70000"], "--port: expected 0 to 65535, got 70000"),
        (["--timeout", "0"], "--timeout: expected seconds above 0, got 0"),
        (["--timeout", "nan"], "--timeout: expected seconds above 0, got nan"),
        (["--guard", "30"], "--guard: expected a share in 0 to 1, got 30"),
        (["--host", ""], "--host: expected an address, such as 127.0.0.1, got none"),
        (["--batch", "0"], "--batch: expected 1 to 1024, got 0"),
        (["--cache", "-1"], "--cache: expected 0 to 10000000, got -1"),
    ],
)
def test_numbers_out_of_range(option, message):
    with pytest.raises(AgentError, match=message):
        serve.parse(["--policy", "runs/own", *option])
