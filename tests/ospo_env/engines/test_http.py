"""``http:TEMPLATE``: a server that answers with its best documents, whatever the shape of its JSON."""

import pickle
import time

import numpy as np
import pytest

from ospo_env import Corpus, RetrieverError, TaskError, make_retriever
from ospo_env.conformance import check_retriever
from ospo_env.retrievers.engines.json_path import values_at
from ospo_env.retrievers.registry import resolve_retriever
from search_stub import basic, bm25, stub_server
from shop import documents, shop, task

pytest.importorskip("urllib3", reason="urllib3 is not installed")
DOCUMENTS = documents()
CORPUS = Corpus([f"sku/{row}" for row in range(len(DOCUMENTS))], DOCUMENTS)
POOL = np.arange(len(DOCUMENTS), dtype=np.int32)[None]
PATHS = "?ids=found.document.id&scores=found.rating"
FIND = "find%3Fq={query}&k={k}"


@pytest.fixture
def server():
    with stub_server() as (stub, url):
        stub.indices["docs"] = fields_of(CORPUS)
        yield stub, url


def fields_of(corpus):
    return {doc_id: {"text": text} for doc_id, text in list(zip(corpus.doc_ids, corpus.texts, strict=True))[::-1]}


def ranked(url, settings="", corpus=CORPUS, find=f"/docs/{FIND}", paths=PATHS):
    return resolve_retriever(f"http:{url}{find}{paths}&cache=false{settings}")(corpus)


class Joined:
    """A factory for the conformance kit; another process finds the stub by its address."""

    indices = None

    def __init__(self, url):
        self.url = url

    def __call__(self, corpus):
        name = f"kit-{corpus.digest[:12]}"
        if Joined.indices is not None:
            Joined.indices.setdefault(name, fields_of(corpus))
        return ranked(self.url, "", corpus, f"/{name}/{FIND}")


def test_the_contract(server, monkeypatch):
    monkeypatch.setattr(Joined, "indices", server[0].indices)
    check_retriever(Joined(server[1]))


def test_what_lies_beyond_the_depth_is_not_matched(server):
    stub, url = server
    index = stub.indices["docs"]
    every, few = ranked(url), ranked(url, "&depth=4")
    for text in ("red wool coat", "½ & price?", "linen=dress#1"):
        expected = np.array([bm25(text, "text", index[doc_id], index) or -np.inf for doc_id in CORPUS.doc_ids])
        np.testing.assert_allclose(every.score_pools([text], POOL)[0], expected)
        assert (
            every.rank_corpus(text, 100)[0].tolist()
            == np.argsort(-expected, kind="stable")[: np.isfinite(expected).sum()].tolist()
        )
        scores = few.score_pools([text], POOL)[0]
        assert np.isfinite(scores).sum() == min(4, np.isfinite(expected).sum())
        assert scores.max() == np.float64(expected.max())
    rounded = ranked(url, "&decimals=1").score_pools([text], POOL)
    np.testing.assert_array_equal(rounded[0], np.round(expected, 1))
    assert few.fingerprint != every.fingerprint != ranked(url, "&version=of-monday").fingerprint


@pytest.mark.parametrize("fault", [429, 503, "cut", "garbage"])
def test_what_passes_is_asked_again(server, fault):
    stub, url = server
    made = ranked(url)
    expected = made.score_pools(["red wool"], POOL)
    stub.faults = [fault]
    np.testing.assert_array_equal(made.score_pools(["red wool"], POOL), expected)
    assert stub.faults == []


def test_the_corpus_is_ranked_for_several_texts_at_once(server):
    stub, url = server
    stub.indices["docs"] = fields_of(Corpus.of_documents(shop().documents))
    made = ranked(url, "", Corpus.of_documents(shop().documents))
    one = task(made, candidates="corpus")
    stub.requests.clear()
    stub.seconds, stub.most = 0.05, 0
    texts = [f"{colour} coat" for colour in ("red", "blue", "black")]
    rewards = one.rewards(["q00"] * 4, [*texts, "red coat"])
    assert (len(stub.requests), stub.most) == (3, 3)
    assert one.counters["distinct"] == 3
    np.testing.assert_array_equal(
        rewards[:3], [task(made, candidates="corpus").rewards(["q00"], [text])[0] for text in texts]
    )
    assert rewards[0] > 0


def test_the_server_says_how_long_to_wait(server):
    stub, url = server
    made = ranked(url)
    stub.faults = [(503, 1)]
    start = time.monotonic()
    pickle.loads(pickle.dumps(made)).score_pools(["red"], POOL)
    assert time.monotonic() - start >= 1.0


@pytest.mark.parametrize("fault", [404, 500, 302])
def test_what_does_not_is_an_error(server, fault):
    stub, url = server
    made = ranked(url)
    stub.faults = [fault]
    with pytest.raises(RetrieverError, match=f"the server at .* answers {fault}, .*the shop is closed") as error:
        made.score_pools(["red"], POOL)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("find", "paths", "match"),
    [
        (f"/docs/{FIND}", "?ids=hits._id&scores=hits._score", "expected a member 'hits'; got page, found"),
        (f"/docs/{FIND}", "?ids=found.document&scores=found.rating", "it gives none of the ids for"),
        (f"/docs/{FIND}", "?ids=found.document.id&scores=found.document.id", "could not convert string to float"),
        (f"/docs/{FIND}", "?ids=page&scores=found.rating", "1 ids and [0-9]+ scores"),
        (f"/docs/{FIND}", "?ids=found.document.id", "expected the paths of ids and scores"),
        (f"/docs/{FIND}", f"{PATHS}&depth=0", "expected depth of the retriever 'http' as at least 1; got 0"),
        ("/docs/find", PATHS, "expected .query. in the address"),
        (f"/dosc/{FIND}", PATHS, "answers 404, .*no such index"),
    ],
)
def test_answers_and_settings_that_do_not_fit(server, find, paths, match):
    with pytest.raises(TaskError, match=match) as error:
        ranked(server[1], "", CORPUS, find, paths)
    assert "\n" not in str(error.value)


def test_no_server():
    with stub_server() as (_, url):
        pass
    with pytest.raises(TaskError, match=f"no answer from the server at {url}.*refused.*; start it, or correct"):
        ranked(url)
    for spec in (f"http://localhost/docs/{FIND}{PATHS}", f"http:ftp://localhost/{FIND}{PATHS}"):
        with pytest.raises(TaskError, match="expected the address of the retriever 'http' as http"):
            make_retriever(spec, CORPUS)


@pytest.mark.parametrize(
    ("value", "header", "find"),
    [
        ("shop:hunter22", basic("shop", "hunter22"), f"/docs/{FIND}"),
        ("hunter22", "Bearer hunter22", f"/docs/{FIND}"),
        ("hunter22", None, f"/docs/{FIND}&token={{key}}"),
    ],
)
def test_keys(server, monkeypatch, value, header, find):
    stub, url = server
    stub.access = header
    monkeypatch.setenv("SHOP_KEY", value)
    made = ranked(url, "&key_env=SHOP_KEY", CORPUS, find)
    assert (made.score_pools(["red"], POOL) > -np.inf).any()
    assert b"hunter22" not in pickle.dumps(made)
    stub.access = "another"
    with pytest.raises(TaskError, match="answers 401") as error:
        ranked(url, "&key_env=SHOP_KEY", CORPUS, find)
    assert "hunter22" not in str(error.value)
    assert basic("shop", "hunter22").split()[1] not in str(error.value)


def test_paths():
    content = {"a": [{"b": {"c": 1}}, {"b": [{"c": 2}, {"c": [3, 4]}]}], "none": None}
    assert values_at(content, "a.b.c") == [1, 2, 3, 4]
    assert values_at(content, "none.x.y") == []
    for path in ("a.x", "a.b.c.d", "A"):
        with pytest.raises(LookupError, match="expected a member"):
            values_at(content, path)
