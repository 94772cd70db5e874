"""The ground of all engines: requests with bounds, scores on disk, secrets, and documents joined by id."""

import pickle
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from ospo_env import Corpus, RetrieverError, TaskError
from ospo_env.retrievers.engines import requests, score_cache
from ospo_env.retrievers.engines.access import check_url, hidden, secret
from ospo_env.retrievers.engines.joined import JoinedRetriever
from ospo_env.retrievers.engines.requests import Limits, Unavailable, answer_all
from ospo_env.retrievers.engines.score_cache import ScoreCache

FAST = Limits(concurrency=4, deadline=5.0, batch=2)
CORPUS = Corpus(["a", "b", "c", "d"], ["red coat", "red red", "blue", "red coat"])
POOL = np.array([[3, 1, -1, 2]], np.int32)


class Lists:
    """An index in memory, whose score is the number of times that the text's words stand in a document."""

    kind, place = "lists", "the lists"

    def __init__(self, documents, window=100):
        self.documents, self.window = dict(documents), window
        self.asked, self.counted, self.sizes, self.failures = [], 0, [], []

    def identity(self, seconds):
        return {"documents": sorted(self.documents.items())}

    def count(self, ids, seconds):
        self.counted += 1
        return sum(doc_id in self.documents for doc_id in ids)

    def scores(self, searches, seconds):
        self.asked.append([search.text for search in searches])
        if self.failures:
            raise self.failures.pop(0)
        found = [{doc_id: self.score(search.text, doc_id) for doc_id in search.ids} for search in searches]
        return [{doc_id: score for doc_id, score in one.items() if score} for one in found]

    def best(self, text, k, seconds):
        self.sizes.append(k)
        scored = [(doc_id, self.score(text, doc_id)) for doc_id in sorted(self.documents, reverse=True)]
        return sorted((pair for pair in scored if pair[1]), key=lambda pair: -pair[1])[:k]

    def score(self, text, doc_id):
        return float(sum(self.documents[doc_id].split().count(word) for word in text.split()))


def lists():
    return Lists(zip(CORPUS.doc_ids, CORPUS.texts, strict=True))


def joined(index=None, corpus=CORPUS, *, limits=FAST, cache=False, **settings):
    return JoinedRetriever(index or lists(), corpus, settings, limits, cache=cache)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OSPO_CACHE_DIR", str(tmp_path))
    return tmp_path / "engine-scores-1"


@pytest.fixture
def clock(monkeypatch):
    """The pauses that requests made, on a clock that nothing else moves."""
    pauses = []
    monkeypatch.setattr(requests, "time", SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append))
    return pauses


class TestRequests:
    def test_answers_come_in_order_and_no_more_at_once_than_allowed(self):
        running, most, lock = 0, 0, threading.Lock()

        def ask(item, seconds):
            nonlocal running, most
            with lock:
                running, most = running + 1, max(most, running + 1)
            time.sleep(0.005 * (item % 3))
            with lock:
                running -= 1
            return item * item

        assert answer_all(ask, range(20), FAST) == [item * item for item in range(20)]
        assert most == FAST.concurrency

    def test_what_is_unavailable_is_asked_again_and_the_engine_says_when(self):
        moments = []

        def ask(item, seconds):
            moments.append(time.monotonic())
            if len(moments) < 3:
                raise Unavailable("429", pause=0.2 if len(moments) == 2 else 0.0)
            return "answer"

        assert answer_all(ask, [0], FAST) == ["answer"]
        first, second = np.diff(moments)
        assert first >= 0.05
        assert second >= 0.2

    @pytest.mark.parametrize(
        ("share", "pauses"),
        [(1.0, [0.1, 0.2]), (0.5, [0.05, 0.1, 0.2])],  # the next one, .4 or twice .2, would end behind the deadline
    )
    def test_a_deadline_ends_it(self, clock, monkeypatch, share, pauses):
        monkeypatch.setattr(requests, "_chance", SimpleNamespace(uniform=lambda least, most: share))
        attempts = len(pauses) + 1
        with pytest.raises(RetrieverError, match=rf"within 0\.4 s \({attempts} attempts\); the last time: busy"):
            answer_all(_busy, [0], Limits(1, 0.4, 1))
        assert clock == pauses

    def test_a_pause_behind_the_deadline_is_not_waited_for(self, clock):
        with pytest.raises(RetrieverError, match=r"no answer within 0\.4 s \(1 attempt\)"):
            answer_all(_ask_for_a_minute, [0], Limits(1, 0.4, 1))
        assert clock == []

    def test_pauses_vary_between_half_and_the_whole(self, clock):
        for _ in range(50):
            with pytest.raises(RetrieverError, match="busy"):
                answer_all(_busy, [0], Limits(1, 0.4, 1))
        first = [pause for pause in clock if pause <= 0.1]
        assert 0.05 <= min(first) < max(first) <= 0.1

    def test_a_request_that_ignores_its_deadline_is_given_up(self, monkeypatch):
        monkeypatch.setattr("ospo_env.retrievers.engines.requests._GRACE", 0.1)
        with pytest.raises(RetrieverError, match=r"no answer within 0\.1 s$"):
            answer_all(lambda item, seconds: time.sleep(0.5), [0], Limits(1, 0.1, 1))

    def test_another_failure_ends_it_at_once(self):
        asked = []

        def ask(item, seconds):
            asked.append(item)
            raise RetrieverError("no such field")

        with pytest.raises(RetrieverError, match="no such field"):
            answer_all(ask, range(50), Limits(1, 5.0, 1))
        assert len(asked) < 50

    @pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"deadline": 0}, {"deadline": float("nan")}, {"batch": -1}])
    def test_limits_out_of_range(self, wrong):
        with pytest.raises(TaskError, match=f"expected {next(iter(wrong))} of an engine as at least"):
            Limits(**({"concurrency": 1, "deadline": 1.0, "batch": 1} | wrong))


def _busy(item, seconds):
    raise Unavailable("busy")


def _ask_for_a_minute(item, seconds):
    raise Unavailable("busy", pause=60.0)


class TestCache:
    def test_scores_stay_on_disk_under_the_identity(self, folder):
        documents = dict(zip(CORPUS.doc_ids, CORPUS.texts, strict=True))
        first, second, changed = Lists(documents), Lists(documents), Lists(documents | {"e": "new"})
        scores = joined(first, cache=True).score_pools(["red", "coat"], POOL.repeat(2, 0))
        again = joined(second, cache=True)
        np.testing.assert_array_equal(again.score_pools(["coat", "red"], POOL.repeat(2, 0)), scores[::-1])
        assert (first.counted, len(first.asked), second.counted, second.asked, again.stored_texts) == (1, 1, 0, [], 2)
        again.score_pools(["red", "red"], np.array([[0, 1], [1, 0]], np.int32))  # other pools
        assert second.asked == [["red", "red"]]
        joined(changed, cache=True).score_pools(["red"], POOL)
        joined(third := Lists(documents), cache=True, rank="other").score_pools(["red"], POOL)
        assert changed.asked == third.asked == [["red"]]
        assert len(list(folder.glob("lists-*.sqlite"))) == 3
        assert not any(b"coat" in path.read_bytes() for path in folder.iterdir())

    def test_rankings_stay_too(self, folder):
        one, two = (
            lists(),
            lists(),
        )
        rows, scores = joined(one, cache=True).rank_corpus("red", 2)
        again = joined(two, cache=True).rank_corpus("red", 2)
        assert (rows.tolist(), scores.tolist(), two.sizes) == ([1, 0], [2.0, 1.0], [])
        np.testing.assert_array_equal(again[0], rows)
        np.testing.assert_array_equal(again[1], scores)
        assert joined(two, cache=True).rank_corpus("red", 3)[0].tolist() == [1, 0, 3]

    def test_a_damaged_file_is_told(self, folder):
        joined(cache=True).score_pools(["red"], POOL)
        (path,) = folder.glob("*.sqlite")
        for left in folder.glob("*.sqlite-*"):
            left.unlink()
        path.write_bytes(b"not a database" * 100)
        with pytest.raises(RetrieverError, match=r"cannot keep scores in .*remove that file.*cache=false"):
            joined(cache=True)

    def test_the_oldest_leave_a_full_file(self, folder, monkeypatch):
        monkeypatch.setattr(score_cache, "_LARGEST", 2**16)
        cache, rng = ScoreCache("x"), np.random.default_rng(0)
        for number in range(12):
            cache.write({(f"{number} {at}", b""): rng.random(100) for at in range(20)})
        assert cache.read([("0 0", b"")]) == {}
        assert len(cache.read([("11 0", b"")])) == 1
        assert (folder / "x.sqlite").stat().st_size < 4 * 2**16

    def test_what_was_answered_before_a_failure_is_kept(self, folder):
        index = lists()
        made = joined(index, cache=True, limits=Limits(1, 0.05, 1))
        score = index.score
        index.score = lambda text, doc_id: float("nan") if text == "coat" else score(text, doc_id)
        with pytest.raises(RetrieverError, match="expected finite scores for 'coat'"):
            made.score_pools(["red", "coat", "blue"], POOL.repeat(3, 0))
        index.score, index.asked[:] = score, []
        made.score_pools(["red", "coat", "blue"], POOL.repeat(3, 0))
        assert made.stored_texts >= 1
        assert ["red"] not in index.asked

    def test_failures_are_not_kept(self, folder):
        index = lists()
        made = joined(index, cache=True, limits=Limits(1, 0.05, 1))
        index.failures = [RetrieverError("gone")]
        with pytest.raises(RetrieverError, match="gone"):
            made.score_pools(["red"], POOL)
        assert made.score_pools(["red"], POOL)[0].tolist() == [1.0, 2.0, -np.inf, -np.inf]
        assert made.stored_texts == 0


class TestJoining:
    def test_scores_batches_and_blanks(self):
        index = lists()
        pools = np.array([[0, 1, 2], [0, 1, -1], [2, 1, 0], [0, 1, 2], [0, 1, 2]], np.int32)
        scores = joined(index).score_pools(["red", "red", "coat", " ", "red"], pools)
        inf = -np.inf
        assert scores.tolist() == [[1, 2, inf], [1, 2, inf], [inf, inf, 1], [inf] * 3, [1, 2, inf]]
        assert sorted(map(len, index.asked)) == [1, 2]  # three distinct pairs, in batches of two

    def test_ties_at_the_end_are_asked_for_until_they_are_seen_whole(self):
        ids = [f"{row:03d}" for row in range(300)]
        index = Lists(((doc_id, "red") for doc_id in ids), window=1000)
        made = joined(index, Corpus(ids, ["red"] * 300))
        assert made.rank_corpus("red", 2)[0].tolist() == [0, 1]
        assert index.sizes == [34, 272, 1000]
        index.window = 50  # the index ranks backwards, and what lies beyond its window is not seen
        assert made.rank_corpus("red", 2)[0].tolist() == [250, 251]

    def test_documents_beyond_the_corpus_are_passed_over(self):
        index = Lists([("x", "red red red"), ("a", "red"), ("b", "red red")])
        made = joined(index, Corpus(["a", "b"], ["red", "red red"]))
        assert made.rank_corpus("red", 1)[0].tolist() == [1]

    def test_what_is_missing_is_counted_and_named(self):
        ids = [f"id{row}" for row in range(12_000)]
        index = Lists((doc_id, "red") for doc_id in ids if doc_id not in ("id7", "id11999"))
        with pytest.raises(TaskError, match=r"hold the 12,000 documents .*; 2 are missing, 'id7' among them"):
            joined(index, Corpus(ids, ["red"] * len(ids)))

    @pytest.mark.parametrize("score", [float("nan"), float("inf")])
    def test_scores_that_are_none_are_refused(self, score, folder):
        index = lists()
        made = joined(index, cache=True)
        index.score = lambda text, doc_id: score
        with pytest.raises(RetrieverError, match="expected finite scores for 'red' from the lists"):
            made.score_pools(["red"], POOL)
        assert ScoreCache(made.fingerprint).read([("red", POOL[0].tobytes())]) == {}

    def test_a_copy_by_pickle_scores_the_same(self):
        made = joined()
        made.rank_corpus("red", 1)
        copy = pickle.loads(pickle.dumps(made))
        np.testing.assert_array_equal(copy.score_pools(["red"], POOL), made.score_pools(["red"], POOL))


class TestSecrets:
    def test_they_come_from_the_environment_alone(self, monkeypatch):
        monkeypatch.setenv("SHOP_KEY", " hunter22 ")
        assert secret("postgres", "dsn_env", "SHOP_KEY") == "hunter22"
        monkeypatch.delenv("SHOP_KEY")
        with pytest.raises(TaskError, match=r"reads dsn_env from \$SHOP_KEY, which is not set; export SHOP_KEY"):
            secret("postgres", "dsn_env", "SHOP_KEY")
        with pytest.raises(TaskError, match="the name of an environment variable") as error:
            secret("postgres", "dsn_env", "host=db password=hunter22")
        assert "hunter22" not in str(error.value)

    @pytest.mark.parametrize("url", ["http://shop:hunter22@db/x", "https://hunter22@db", "http://:hunter22@db:9200"])
    def test_an_address_holds_none(self, url):
        with pytest.raises(TaskError, match="key_env=VARIABLE") as error:
            check_url("http", url)
        assert "hunter22" not in str(error.value)

    @pytest.mark.parametrize("url", ["", "db:9200", "ftp://db", "http://", "http://db:port"])
    def test_what_is_no_address(self, url):
        with pytest.raises(TaskError, match="expected the address of the retriever 'http' as http"):
            check_url("http", url)
        assert check_url("http", "http://db:9200/shop") == "http://db:9200/shop"

    def test_messages_hide_them(self):
        assert hidden("a key of\n three", ["a", "key"]) == "a key of three"  # too short to be hidden in a text
        assert hidden("user p/ss:word1 as p%2Fss%3Aword1", ["p/ss:word1"]) == "user *** as ***"
