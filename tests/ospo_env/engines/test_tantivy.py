"""``tantivy:PATH``: the contract, scores computed by hand, joining by id, and messages about an index that is none."""

import json
import math
import os
import pickle

import numpy as np
import pytest

from ospo_agents.calls import DEFAULT_CALLS, training_calls
from ospo_env import Corpus, RetrieverError, TaskError, make_retriever
from ospo_env.conformance import check_retriever
from ospo_env.retrievers.registry import resolve_retriever
from shop import documents, task

tantivy = pytest.importorskip("tantivy", reason="tantivy is not installed")
DOCUMENTS = documents()
CORPUS = Corpus([f"sku/{row}" for row in range(len(DOCUMENTS))], DOCUMENTS, [text[:9] for text in DOCUMENTS])


class Joined:
    """A factory for the conformance kit, which makes corpora of its own: an index of each is built once."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, corpus):
        return make_retriever(f"tantivy:{self.folder}/{corpus.digest[:16]}?build=true", corpus)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("tantivy") / "index"
    make_retriever(f"tantivy:{path}?build=true", CORPUS)
    return path


def write_index(path, rows, *, tokenizer="default", id_tokenizer="raw", stored=True, segments=False):
    """An index of a search team: ids, titles and texts; with ``segments``, one for each row."""
    schema = tantivy.SchemaBuilder()
    schema.add_text_field("sku", stored=stored, tokenizer_name=id_tokenizer)
    for name in ("name", "body"):
        schema.add_text_field(name, tokenizer_name=tokenizer)
    path.mkdir()
    index = tantivy.Index(schema.build(), path=str(path))
    for part in [[row] for row in rows] if segments else [rows]:
        writer = index.writer(15_000_000, 1)
        for sku, name, body in part:
            writer.add_document(tantivy.Document(sku=sku, name=name, body=body))
        writer.commit()
        writer.wait_merging_threads()
    return path


def test_the_contract(tmp_path):
    check_retriever(Joined(tmp_path))


def test_scores_are_bm25(tmp_path):
    """Against the formula, by hand: Lucene's idf, k1 = 1.2, b = .75, every token as often as it stands."""
    texts = ["red coat", "red red shoe", "blue wool coat", "linen"]
    path = write_index(tmp_path / "index", [(f"s{row}", "", text) for row, text in enumerate(texts)])
    corpus = Corpus.of_texts(texts)
    corpus.doc_ids = [f"s{row}" for row in range(4)]
    made = make_retriever(f"tantivy:{path}?id=sku&text=body", corpus)

    def weight(word, text):
        words = text.split()
        holding = sum(word in other.split() for other in texts)
        idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
        mean = sum(len(other.split()) for other in texts) / len(texts)
        count = words.count(word)
        return idf * 2.2 * count / (count + 1.2 * (0.25 + 0.75 * len(words) / mean))

    for query in ("red", "coat, coat RED", "wool linen"):
        words = query.lower().replace(",", "").split()
        expected = [sum(weight(word, text) for word in words) or -np.inf for text in texts]
        scores = made.score_pools([query], np.arange(4, dtype=np.int32)[None])[0]
        np.testing.assert_allclose(scores, expected, rtol=1e-5)
    twice = make_retriever(f"tantivy:{path}?id=sku&text=body^2", corpus)
    np.testing.assert_allclose(
        twice.score_pools(["red"], np.array([[0]], np.int32)), 2 * made.score_pools(["red"], np.array([[0]], np.int32))
    )


def test_documents_are_joined_by_id_not_by_row(tmp_path):
    """The index has another order, a document that the corpus lacks, and several segments."""
    rows = [("c", "", "red red coat"), ("x", "", "red coat"), ("a", "", "red wool"), ("b", "", "blue bag")]
    path = write_index(tmp_path / "index", rows, segments=True)
    made = make_retriever(f"tantivy:{path}?id=sku&text=body", Corpus(["a", "b", "c"], ["red wool", "blue bag", "red"]))
    scores = made.score_pools(["red"], np.array([[2, 1, 0, -1]], np.int32))[0]
    assert scores[0] > scores[2] > -np.inf
    assert scores[[1, 3]].tolist() == [-np.inf, -np.inf]
    found, values = made.rank_corpus("red", 3)
    assert found.tolist() == [2, 0]
    np.testing.assert_array_equal(values, scores[[0, 2]])


def test_ties_beyond_what_is_first_asked_for(tmp_path):
    """Two hundred equal documents, indexed backwards: the best three are the first rows."""
    ids = [f"d{row:03d}" for row in range(200)]
    path = write_index(tmp_path / "index", [(doc_id, "", "red coat") for doc_id in reversed(ids)])
    made = make_retriever(f"tantivy:{path}?id=sku&text=body", Corpus(ids, ["red coat"] * 200))
    assert made.rank_corpus("red", 3)[0].tolist() == [0, 1, 2]


def test_operators_of_the_query_language_are_words(path):
    made = make_retriever(f"tantivy:{path}", CORPUS)
    pool = np.arange(len(DOCUMENTS), dtype=np.int32)[None]
    plain = made.score_pools(["red wool"], pool)
    for text in ('+red -"wool"', "red^9 [wool TO wool}", "red AND NOT IN wool", "title:red ~wool*", "red (wool"):
        words = {"AND", "NOT", "IN", "TO"} & set(text.split())
        assert not words or not (made.score_pools([" ".join(words)], pool) > -np.inf).any()
        assert (made.score_pools([text], pool)[0][plain[0] > -np.inf] > -np.inf).all()
    np.testing.assert_array_equal(made.score_pools(['+red -"wool"'], pool), plain)


def test_a_task_on_it_has_the_default_bound_on_calls(tmp_path):
    one = task(f"tantivy:{tmp_path}/index?build=true")
    assert not one.linear
    assert training_calls(one, None) == DEFAULT_CALLS
    assert one.rewards(["q00"], ["red coat"])[0] > 0


def test_a_child_scores_the_same(path):
    made = make_retriever(f"tantivy:{path}", CORPUS)
    expected = made.score_pools(["red wool"], np.array([[0, 1, 2]], np.int32))
    if (child := os.fork()) == 0:
        os._exit(0 if np.array_equal(made.score_pools(["red wool"], np.array([[0, 1, 2]], np.int32)), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ("id=doc", "unknown field of the index .*'doc'; did you mean 'doc_id'"),
        ("text=body", "unknown field of the index .*'body'"),
        ("text=title^x", "names joined by \\+"),
        ("id=title", "stored and indexed without analysis"),
        ("threads=0", "expected concurrency of an engine as at least 1; got 0"),
    ],
)
def test_settings_that_do_not_fit_the_index(path, settings, match):
    with pytest.raises(TaskError, match=match) as error:
        make_retriever(f"tantivy:{path}?{settings}", CORPUS)
    assert "\n" not in str(error.value)


def test_no_index(tmp_path):
    (tmp_path / "notes.txt").write_text("no index")
    for place in (tmp_path, tmp_path / "none", tmp_path / "notes.txt"):
        with pytest.raises(TaskError, match=f"expected an index of Tantivy in {place}.*tantivy:{place}.build=true"):
            make_retriever(f"tantivy:{place}", CORPUS)


def test_an_index_that_lacks_documents(path):
    more = Corpus([*CORPUS.doc_ids, "sku/new", "sku/newer"], [*DOCUMENTS, "red", "blue"])
    with pytest.raises(TaskError, match="63 documents of the corpus under their ids; 2 are missing, 'sku/new"):
        make_retriever(f"tantivy:{path}", more)


def test_an_index_that_holds_a_document_twice(tmp_path):
    path = write_index(tmp_path / "index", [("a", "", "red"), ("a", "", "red coat"), ("b", "", "blue")])
    with pytest.raises(TaskError, match=r"each document of the corpus once .* 1 more have the same ids"):
        make_retriever(f"tantivy:{path}?id=sku&text=body", Corpus(["a", "b"], ["red", "blue"]))


def test_the_fingerprint_is_that_of_the_commit(tmp_path):
    rows = [("a", "", "red wool"), ("b", "", "blue bag")]
    path = write_index(tmp_path / "index", rows)
    corpus = Corpus(["a", "b"], ["red wool", "blue bag"])
    spec = f"tantivy:{path}?id=sku&text=body"
    made = make_retriever(spec, corpus)
    content = pickle.dumps(made)
    pool = np.array([[0, 1]], np.int32)
    before = made.score_pools(["red"], pool)
    np.testing.assert_array_equal(pickle.loads(content).score_pools(["red"], pool), before)
    writer = tantivy.Index.open(str(path)).writer(15_000_000, 1)
    writer.add_document(tantivy.Document(sku="c", name="", body="red red"))
    writer.commit()
    writer.wait_merging_threads()
    np.testing.assert_array_equal(made.score_pools(["red"], pool), before)  # what is open stays
    with pytest.raises(RetrieverError, match="has changed since it was opened"):
        pickle.loads(content).score_pools(["red"], pool)
    again = resolve_retriever(spec)(corpus)
    assert again.fingerprint != made.fingerprint
    assert (again.score_pools(["red"], pool) != before).any()


def test_analysers_that_cannot_be_known(tmp_path):
    path = write_index(tmp_path / "index", [("a", "", "red")])
    meta = json.loads((path / "meta.json").read_text())
    for field in meta["schema"]:
        if field["name"] == "body":
            field["options"]["indexing"]["tokenizer"] = "house_style"
    (path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(TaskError, match=r"field 'body' .* one of Tantivy's own tokenizers .* with house_style"):
        make_retriever(f"tantivy:{path}?id=sku&text=body", Corpus(["a"], ["red"]))
