"""``elasticsearch:INDEX`` and ``opensearch:INDEX``: the official clients against a stub, and what it does wrong."""

import copy
import dataclasses
import os
import pickle
import time

import numpy as np
import pytest

from ospo_env import Corpus, RetrieverError, TaskError, make_retriever
from ospo_env.conformance import check_retriever
from ospo_env.retrievers.registry import resolve_retriever
from search_stub import basic, bm25, stub_server
from shop import documents

LIBRARIES = {"elasticsearch": "elasticsearch", "opensearch": "opensearchpy"}
DOCUMENTS = documents()
CORPUS = Corpus([f"sku/{row}" for row in range(len(DOCUMENTS))], DOCUMENTS)
POOL = np.arange(len(DOCUMENTS), dtype=np.int32)[None]
URL = "OSPO_TEST_URL"


@pytest.fixture(params=list(LIBRARIES))
def kind(request):
    pytest.importorskip(LIBRARIES[request.param], reason=f"{LIBRARIES[request.param]} is not installed")
    return request.param


@pytest.fixture
def server():
    with stub_server() as (stub, url):
        stub.indices["docs"] = fields_of(CORPUS)
        yield stub, url


def fields_of(corpus):
    """The documents in another order, with an id in a field too."""
    rows = list(zip(corpus.doc_ids, corpus.texts, strict=True))[::-1]
    return {doc_id: {"sku": f"k{doc_id}", "title": text[:8], "text": text} for doc_id, text in rows}


def ranked(kind, url, settings="", corpus=CORPUS, index="docs"):
    return resolve_retriever(f"{kind}:{index}?url={url}&cache=false{settings}")(corpus)


def impatient(made, deadline):
    """The retriever with another deadline than that which it was opened with."""
    made._limits = dataclasses.replace(made._limits, deadline=deadline)
    return made


class Joined:
    """A factory for the conformance kit, which makes corpora of its own: the stub gets an index of each.

    Another process finds the stub by its address, and there the index is there already.
    """

    indices = None

    def __init__(self, kind, url):
        self.kind, self.url = kind, url

    def __call__(self, corpus):
        name = f"kit-{corpus.digest[:12]}"
        if Joined.indices is not None:
            Joined.indices.setdefault(name, fields_of(corpus))
        return ranked(self.kind, self.url, "", corpus, name)


def test_the_contract(kind, server, monkeypatch):
    monkeypatch.setattr(Joined, "indices", server[0].indices)
    check_retriever(Joined(kind, server[1]))


class TestScores:
    def test_they_are_those_of_the_server_whatever_the_pool(self, kind, server):
        stub, url = server
        made = ranked(kind, url, "&text=title^3+text&batch=2&concurrency=3")
        pools = np.array([[5, 3, 1, -1], [2, 60, 8, 9], [5, 3, 1, -1], [2, 60, 8, 9], [7, 7, 3, -1]], np.int32)
        texts = ["red coat", "blue leather", "wool; red", "", "zzz linen"]
        scores = made.score_pools(texts, pools)
        index = stub.indices["docs"]
        for text, pool, row in zip(texts, pools, scores, strict=True):
            for place, score in zip(pool.tolist(), row.tolist(), strict=True):
                document = index[f"sku/{place}"] if place >= 0 else {}
                expected = max(3 * bm25(text, "title", document, index), bm25(text, "text", document, index)) or -np.inf
                np.testing.assert_allclose(score, expected if text and place >= 0 else -np.inf, rtol=1e-12)
        assert sorted(stub.requests) == [1, 2, 2]  # one when it was opened, and four texts in twos
        assert stub.most <= 3

    def test_a_field_of_ids(self, kind, server):
        _, url = server
        corpus = Corpus([f"k{doc_id}" for doc_id in CORPUS.doc_ids], DOCUMENTS)
        made, by_id = ranked(kind, url, "&id=sku", corpus), ranked(kind, url)
        np.testing.assert_array_equal(made.score_pools(["red wool"], POOL), by_id.score_pools(["red wool"], POOL))
        np.testing.assert_array_equal(made.rank_corpus("red wool", 9), by_id.rank_corpus("red wool", 9))

    def test_the_fingerprint_is_that_of_the_index(self, kind, server):
        stub, url = server
        first, again, boosted = ranked(kind, url), ranked(kind, url), ranked(kind, url, "&text=text^2")
        stub.indices["docs"]["new"] = {"text": "red", "sku": "new"}
        assert len({first.fingerprint, boosted.fingerprint, ranked(kind, url).fingerprint}) == 3
        assert again.fingerprint == first.fingerprint
        stub.stats = False  # a key that may not see statistics
        assert ranked(kind, url).fingerprint == ranked(kind, url).fingerprint

    def test_pools_larger_than_an_answer(self, kind, server, monkeypatch):
        made = ranked(kind, server[1])
        expected = made.score_pools(["red wool"], POOL)
        monkeypatch.setattr(type(made._index), "window", 20)
        np.testing.assert_array_equal(made.score_pools(["red wool"], POOL), expected)


class TestFaults:
    @pytest.mark.parametrize("fault", [429, (429, 0), 502, 503, 504, "cut", "garbage", "shard", "item"])
    def test_what_passes_is_asked_again(self, kind, server, fault):
        stub, url = server
        made = ranked(kind, url)
        expected = made.score_pools(["red wool", "blue"], POOL.repeat(2, 0))
        stub.faults = [fault]
        np.testing.assert_array_equal(made.score_pools(["red wool", "blue"], POOL.repeat(2, 0)), expected)
        assert stub.faults == []
        assert len(stub.requests) == 4

    def test_the_server_says_how_long_to_wait(self, kind, server):
        stub, url = server
        made = ranked(kind, url)
        stub.faults = [(429, 1)]
        start = time.monotonic()
        made.score_pools(["red"], POOL)
        assert time.monotonic() - start >= 1.0 or kind == "opensearch"  # opensearch-py keeps headers to itself

    @pytest.mark.parametrize(
        ("faults", "match"),
        [
            ([400], "the shop is closed"),
            (["few"], "expected answers from the index docs at .*; got something else .ValueError: 0 answers to 1"),
            ([503] * 50, r"no answer within 0\.6 s .*the shop is closed"),
        ],
    )
    def test_what_does_not_is_an_error(self, kind, server, faults, match):
        stub, url = server
        made = impatient(ranked(kind, url), 0.6)
        stub.faults = list(faults)
        with pytest.raises(RetrieverError, match=match) as error:
            made.score_pools(["red"], POOL)
        assert "\n" not in str(error.value)

    def test_slowness_ends_at_the_deadline(self, kind, server):
        stub, url = server
        made = impatient(ranked(kind, url), 0.3)
        stub.seconds = 2.0
        with pytest.raises(RetrieverError, match=r"no answer within 0\.3 s"):
            made.score_pools(["red"], POOL)

    def test_a_server_that_dies_ends_a_step_and_the_next_one_finds_it_again(self, kind, server):
        stub, url = server
        made = ranked(kind, url)
        stub.faults = ["cut"] * 20
        with pytest.raises(RetrieverError, match=r"no answer within 0\.3 s"):
            impatient(copy.copy(made), 0.3).score_pools(["red"], POOL)
        stub.faults = []
        assert (made.score_pools(["red"], POOL) > -np.inf).any()

    def test_after_pickling_and_in_a_child(self, kind, server):
        made = ranked(kind, server[1])
        expected = made.score_pools(["red wool"], POOL)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(made)).score_pools(["red wool"], POOL), expected)
        if (child := os.fork()) == 0:
            os._exit(0 if np.array_equal(made.score_pools(["red wool"], POOL), expected) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class TestOpening:
    @pytest.mark.parametrize(
        ("settings", "match"),
        [
            ("&text=titel", "expected the fields titel in the index docs at .*; it lacks titel"),
            ("&id=asin", "it lacks asin"),
            ("&text=text^-1", "names joined by"),
            ("&batch=0", "expected batch of an engine as at least 1"),
        ],
    )
    def test_settings_that_do_not_fit(self, kind, server, settings, match):
        with pytest.raises(TaskError, match=match) as error:
            ranked(kind, server[1], settings)
        assert "\n" not in str(error.value)

    def test_no_such_index_or_documents(self, kind, server):
        with pytest.raises(TaskError, match=r"cannot search the index dosc at .*no such index"):
            ranked(kind, server[1], "", CORPUS, "dosc")
        more = Corpus([*CORPUS.doc_ids, "new"], [*DOCUMENTS, "red"])
        with pytest.raises(TaskError, match=r"the index docs at \S+ to hold the 62 documents .*; 1 are missing, 'new'"):
            ranked(kind, server[1], "", more)

    def test_no_server(self, kind):
        with stub_server() as (_, url):
            pass
        start = time.monotonic()
        with pytest.raises(TaskError, match=f"no answer from {kind} at {url}: .*; start it, or name its address"):
            ranked(kind, url)
        assert time.monotonic() - start < 20.0  # of the 60 s that requests have

    def test_another_product(self, server):
        pytest.importorskip("elasticsearch", reason="elasticsearch is not installed")
        server[0].product = False
        with pytest.raises(TaskError, match=r"is not Elasticsearch .*write opensearch:INDEX"):
            ranked("elasticsearch", server[1])

    @pytest.mark.parametrize(
        ("value", "headers"),
        [
            ("shop:hunter22", {kind: basic("shop", "hunter22") for kind in LIBRARIES}),
            ("aHVudGVyMjI=", {"elasticsearch": "ApiKey aHVudGVyMjI=", "opensearch": "Bearer aHVudGVyMjI="}),
        ],
    )
    def test_keys(self, kind, server, monkeypatch, value, headers):
        stub, url = server
        stub.access = headers[kind]
        monkeypatch.setenv("SHOP_KEY", value)
        made = ranked(kind, url, "&key_env=SHOP_KEY")
        assert (made.score_pools(["red"], POOL) > -np.inf).any()
        for secret in ("hunter22", "aHVudGVyMjI="):
            assert secret.encode() not in pickle.dumps(made)
        stub.access = "another"
        with pytest.raises(TaskError, match=r"no access for .*; \$SHOP_KEY does not open it") as error:
            ranked(kind, url, "&key_env=SHOP_KEY")
        for secret in (value, value.partition(":")[2] or value, headers[kind].split()[1]):
            assert secret not in str(error.value)
        with pytest.raises(TaskError, match="name a key's variable: key_env=NAME"):
            ranked(kind, url)

    def test_an_address_with_a_password(self, kind):
        with pytest.raises(TaskError, match="key_env=VARIABLE") as error:
            make_retriever(f"{kind}:docs?url=http://shop:hunter22@localhost:9200", CORPUS)
        assert "hunter22" not in str(error.value)
