"""Dense retrieval with a real encoder: its vectors, prompts, files on disk, and what is said where it is missing."""

import json
import pickle
import shutil

import numpy as np
import pytest

from minilm import DIRECTORY, needs_minilm
from ospo_env.conformance import check_retriever
from ospo_env.errors import RetrieverError, TaskError
from ospo_env.retrievers import make_retriever
from ospo_env.retrievers.base import best_rows
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.dense import DenseRetriever
from ospo_env.retrievers.encoder import TextEncoder
from ospo_env.scoring.coalitions import coalition_text
from shop import all_coalitions, documents, task

DOCUMENTS = documents()
CORPUS = Corpus.of_texts(DOCUMENTS)
EVERYTHING = np.arange(len(DOCUMENTS), dtype=np.int32)
QUERIES = [
    "red wool coat",
    "blue",
    "a shoe made of leather for the winter",
    "...",
    "Straße",
    "🎉 coat",
    "blue",
    "coat " * 300,
]

pytestmark = needs_minilm


def dense(**settings):
    return DenseRetriever(CORPUS, str(DIRECTORY), device="cpu", **settings)


def whole(retriever, *texts):
    return retriever.score_pools(texts, np.tile(EVERYTHING, (len(texts), 1)))


@pytest.fixture(scope="module")
def retriever():
    return dense()


@pytest.fixture(scope="module")
def library():
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(DIRECTORY), device="cpu", local_files_only=True)


FEW_TEXTS = [
    "red wool coat",
    "RED   wool,coat - shoe",
    "the the shoe shoe shoe",
    "レザー zzz 靴",
    "Straße 🎉",
    "x" * 300,
]


@pytest.mark.parametrize("texts", [FEW_TEXTS, pytest.param(None, marks=pytest.mark.exhaustive)], ids=["few", "all"])
def test_it_conforms(texts):
    check_retriever(f"dense:{DIRECTORY}?device=cpu", tolerance=1e-6, texts=texts)


def test_scores_are_the_cosines_of_the_library(retriever, library):
    queries = library.encode(QUERIES, normalize_embeddings=True)
    expected = queries.astype(np.float64) @ library.encode(DOCUMENTS, normalize_embeddings=True).astype(np.float64).T
    unmatched = [not {*library.tokenizer.tokenize(document)} - {"[UNK]"} for document in DOCUMENTS]
    assert [document for document, lost in zip(DOCUMENTS, unmatched, strict=True) if lost] == ["ﾚｻﾞｰ ｼﾞｬｹｯﾄ", ""]
    expected[:, unmatched] = -np.inf
    np.testing.assert_allclose(whole(retriever, *QUERIES), expected, atol=1e-6)
    assert 0.5 < expected.max() < 1.0 + 1e-6


def test_encoded_texts_are_the_librarys(retriever, library):
    found = retriever.encode([*QUERIES, ""])
    assert (found.dtype, found.shape) == (np.float32, (len(QUERIES) + 1, retriever.dimensions))
    np.testing.assert_allclose(found[:-1], library.encode(QUERIES, normalize_embeddings=True), atol=1e-6)
    assert not found[-1].any(), "a text that matches nothing"
    assert np.abs(found).max() <= 1.0


def test_a_text_is_encoded_alone_as_in_any_batch(retriever):
    together = whole(retriever, *QUERIES)
    np.testing.assert_allclose(np.concatenate([whole(retriever, text) for text in QUERIES]), together, atol=1e-6)
    np.testing.assert_array_equal(together[1], together[6])


def test_nothing_is_padded(monkeypatch):
    encoder = TextEncoder(DIRECTORY, "float32", "cpu")
    seen = []

    class Spy:
        def __getattr__(self, name):
            return getattr(inner, name)

        def __call__(self, batch, **arguments):
            seen.append(batch["attention_mask"].numpy())
            return inner(batch, **arguments)

    inner, encoder._model = encoder._model, Spy()
    _, known = encoder.encode(
        ["red coat", "a red coat", "coat", "", "a blue coat", *(f"coat {n}" for n in range(900))], "query"
    )
    assert all(mask.all() for mask in seen)
    assert len({mask.shape[1] for mask in seen}) > 1
    assert all(len(mask) >= 4 and (mask.size <= 1024 or len(mask) == 4) for mask in seen)
    assert known.tolist().count(False) == 1


@pytest.mark.parametrize("text", ["", "  \n", "ᚠᚢᚦ", "x" * 300])
def test_a_text_without_a_known_token_matches_nothing(retriever, text):
    assert (whole(retriever, text) == -np.inf).all()
    assert len(retriever.rank_corpus(text, 3)[0]) == 0
    prompted = dense(query_prompt="find: ")
    assert (whole(prompted, text) == -np.inf).all()


@pytest.mark.parametrize("k", [1, 10, 100])
def test_the_whole_corpus_is_ranked_by_the_same_scores(retriever, k):
    for text in QUERIES:
        scores = whole(retriever, text)[0]
        rows, found = retriever.rank_corpus(text, k)
        np.testing.assert_array_equal(rows, best_rows(scores, k))
        np.testing.assert_array_equal(found, scores[rows])


@pytest.mark.parametrize("index", ["hnsw", "ivf"])
def test_approximate_indexes_give_right_scores(retriever, index):
    approximate = dense(index=index)
    assert approximate.fingerprint != retriever.fingerprint
    rows, scores = pickle.loads(pickle.dumps(approximate)).rank_corpus("red wool coat", 5)
    np.testing.assert_array_equal(scores, whole(retriever, "red wool coat")[0, rows])
    np.testing.assert_array_equal(whole(approximate, "red"), whole(retriever, "red"))


def test_document_vectors_are_computed_once(retriever, monkeypatch):
    def encode(self, texts, role, *rest):
        raise AssertionError(role)

    monkeypatch.setattr(TextEncoder, "encode", encode)
    again = dense()
    assert again.fingerprint == retriever.fingerprint
    assert isinstance(again._vectors.base, np.memmap)
    for settings in ({"dtype": "bfloat16"}, {"document_prompt": "passage: "}):
        with pytest.raises(AssertionError, match="document"):
            dense(**settings)
    dense(query_prompt="query: ")  # which is no business of the documents


def test_it_is_pickled_as_a_place(retriever):
    retriever.rank_corpus("red", 1)
    content = pickle.dumps(retriever)
    assert len(content) < 4000 < retriever._vectors.nbytes
    np.testing.assert_array_equal(whole(pickle.loads(content), *QUERIES), whole(retriever, *QUERIES))


def test_prompts_stand_before_texts(retriever):
    prompted = dense(query_prompt="the coat: ", document_prompt="")
    np.testing.assert_array_equal(whole(prompted, "red"), whole(retriever, "the coat: red"))
    others = dense(document_prompt="the coat: ")
    row = DOCUMENTS.index("red wool bag")
    prefixed = DenseRetriever(Corpus.of_texts(["the coat: red wool bag", "linen"], "x"), str(DIRECTORY), device="cpu")
    assert whole(others, "red")[0, row] == prefixed.score_pools(["red"], np.array([[0]], dtype=np.int32))[0, 0]


def test_the_models_own_prompts_are_used(retriever, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(DIRECTORY, model)
    settings = model / "config_sentence_transformers.json"
    settings.write_text(json.dumps({"prompts": {"query": "the coat: ", "passage": "bag: "}}))
    own = DenseRetriever(CORPUS, str(model), device="cpu")
    given = dense(query_prompt="the coat: ", document_prompt="bag: ")
    np.testing.assert_array_equal(whole(own, *QUERIES), whole(given, *QUERIES))
    assert own.fingerprint != retriever.fingerprint
    without = DenseRetriever(CORPUS, str(model), device="cpu", query_prompt="", document_prompt="")
    np.testing.assert_array_equal(whole(without, *QUERIES), whole(retriever, *QUERIES))


def test_the_place_of_a_model_is_not_its_content(retriever, tmp_path):
    shutil.copytree(DIRECTORY, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "README.md").write_text("another text")
    moved = DenseRetriever(CORPUS, str(tmp_path / "elsewhere"), device="cpu")
    assert moved.fingerprint == retriever.fingerprint


def test_bfloat16_is_near(retriever):
    half = dense(dtype="bfloat16")
    assert half.fingerprint != retriever.fingerprint
    found, expected = whole(half, *QUERIES), whole(retriever, *QUERIES)
    assert not np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_worths_are_those_of_stepping_each_coalition(retriever):
    shop = task(f"dense:{DIRECTORY}?device=cpu")
    text, spans = "red wool, linen coat", [(0, 4), (4, 10), (10, 16), (16, 20)]
    coalitions = all_coalitions(4)
    (worths,) = shop.coalition_values(["q00"], [text], [spans], [coalitions])
    one_by_one = task(f"dense:{DIRECTORY}?device=cpu")
    steps = [one_by_one.rewards(["q00"], [coalition_text(text, spans, mask)])[0] for mask in coalitions]
    np.testing.assert_array_equal(worths, steps)
    assert len(set(steps)) > 3


def test_an_id_of_the_local_cache_of_the_hub(retriever, tmp_path, monkeypatch):
    import huggingface_hub

    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--sentence-transformers--small"
    shutil.copytree(DIRECTORY, folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    made = make_retriever("dense:small?device=cpu", CORPUS)
    np.testing.assert_array_equal(whole(made, "red coat"), whole(retriever, "red coat"))
    assert made.fingerprint != retriever.fingerprint
    same = make_retriever("dense:sentence-transformers/small?device=cpu", CORPUS)
    assert same.fingerprint == made.fingerprint


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("dense", "expected a directory or hub id of a sentence-transformers model after 'dense:'"),
        ("dense:no-such-model", "'no-such-model'.*no directory, and the local cache.*dense:no-such-model.hub=true"),
        ("dense:no-such-model?hub=true", "the hub gives no model of that id"),
        ("dense:/no/such/model", "expected a directory or a hub id for the retriever 'dense'; got '/no/such/model'"),
        (f"dense:{DIRECTORY}?dtype=float16", "dtype of the retriever 'dense' as one of float32, bfloat16"),
        (f"dense:{DIRECTORY}?index=flta", "unknown index of the retriever 'dense': 'flta'; did you mean 'flat'"),
        (f"dense:{DIRECTORY}?prompt=x", "unknown setting of the retriever 'dense': 'prompt'"),
    ],
)
def test_specifications_that_name_no_model(spec, match):
    with pytest.raises(TaskError, match=match) as error:
        make_retriever(spec, CORPUS)
    assert "\n" not in str(error.value)


def test_directories_that_hold_no_model(tmp_path):
    with pytest.raises(TaskError, match=r"expected a model in .*; found none"):
        make_retriever(f"dense:{tmp_path}", CORPUS)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TaskError, match=r"cannot open the model in ") as error:
        make_retriever(f"dense:{tmp_path}", CORPUS)
    assert "\n" not in str(error.value)


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TaskError, match=r"needs sentence-transformers, .* pip install 'ospo\[dense\]'"):
        make_retriever(f"dense:{DIRECTORY}?dtype=bfloat16", CORPUS)


def test_documents_that_the_model_cuts_are_counted_once(tmp_path):
    """The model reads 256 tokens, two of them special; "coat" is one token, in whichever copy."""
    long, exact = " ".join(["coat"] * 255), " ".join(["coat"] * 254)
    texts = ["red coat", long, exact, long, long + " red", "coat " * 10]
    expected = "3 of 6 documents are longer than the 256 tokens that .* reads"
    corpus = Corpus.of_texts(texts)
    with pytest.warns(UserWarning, match=expected) as warned:
        DenseRetriever(corpus, str(DIRECTORY), device="cpu")
    assert len(warned) == 1
    DenseRetriever(corpus, str(DIRECTORY), device="cpu")  # from the cache, without a word: warnings are errors
    with pytest.warns(UserWarning, match="4 of 6 documents"):
        DenseRetriever(corpus, str(DIRECTORY), device="cpu", document_prompt="coat ")


def test_vectors_that_are_not_numbers(monkeypatch):
    encoder = TextEncoder(DIRECTORY, "float32", "cpu")
    inner = encoder._model

    class Broken:
        def __getattr__(self, name):
            return getattr(inner, name)

        def __call__(self, batch, **arguments):
            return {"sentence_embedding": inner(batch, **arguments)["sentence_embedding"] * float("nan")}

    encoder._model = Broken()
    with pytest.raises(RetrieverError, match="numbers that are not finite"):
        encoder.encode(["red"], "query")
