"""Reranking with a cross-encoder: a tiny one, of random weights, that is made here."""

import contextlib
import io
import pickle

import numpy as np
import pytest

from ospo_env.conformance import check_retriever
from ospo_env.errors import TaskError
from ospo_env.retrievers import make_retriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.unpadded import open_model
from ospo_env.text import tokens
from shop import COLOURS, MATERIALS, TYPES, documents, task

pytest.importorskip("sentence_transformers", reason="needs the extra ospo[dense]")

DOCUMENTS = documents()
CORPUS = Corpus.of_texts(DOCUMENTS)
HAS_TOKENS = np.array([bool({*COLOURS, *TYPES, *MATERIALS} & {*tokens(document)}) for document in DOCUMENTS])
EVERYTHING = np.arange(len(DOCUMENTS), dtype=np.int32)
QUERIES = ["red wool coat", "blue", "shoe zzz leather bag", "red " * 100]


def make_model(directory, labels=1, seed=0):
    """A cross-encoder with a vocabulary of the shop's words."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *COLOURS, *TYPES, *MATERIALS]
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)}, model_max_length=48)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=48,
        num_labels=labels,
        initializer_range=0.3,
    )
    with contextlib.redirect_stderr(io.StringIO()):
        BertForSequenceClassification(config).eval().save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("cross-encoder"))


@pytest.fixture(scope="module")
def retriever(model):
    return make_retriever(f"rerank:{model}?device=cpu", CORPUS)


def whole(retriever, *texts):
    return retriever.score_pools(texts, np.tile(EVERYTHING, (len(texts), 1)))


def test_it_conforms(model):
    check_retriever(f"rerank:{model}?device=cpu", tolerance=1e-6, texts=["red coat", "blue wool bag, red", "shoe red"])


def test_scores_are_the_logits_of_the_library(model, retriever):
    library = open_model("CrossEncoder", model, "float32", "cpu")
    pairs = [[text, document] for text in QUERIES for document in DOCUMENTS]
    expected = library.predict(pairs, activation_fn=lambda logits: logits).reshape(len(QUERIES), -1)
    expected = np.where(HAS_TOKENS, expected, -np.inf)
    np.testing.assert_allclose(whole(retriever, *QUERIES), expected, atol=1e-4)
    assert expected[:, HAS_TOKENS].std() > 0.1


def test_what_is_unknown_matches_nothing(retriever):
    assert (whole(retriever, "", " \n", "zzz") == -np.inf).all()
    np.testing.assert_array_equal(np.isfinite(whole(retriever, "zzz red"))[0], HAS_TOKENS)
    assert retriever.score_pools([], np.empty((0, 3), dtype=np.int32)).shape == (0, 3)


def test_the_whole_corpus_in_two_stages(model):
    made = make_retriever(f"rerank:{model}?device=cpu&depth=7&first=chargram", CORPUS)
    candidates, _ = make_retriever("chargram", CORPUS).rank_corpus("red wool", 7)
    rows, scores = made.rank_corpus("red wool", 5)
    assert set(rows) < set(candidates)
    np.testing.assert_array_equal(scores, np.sort(whole(made, "red wool")[0, candidates])[:1:-1])
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.rank_corpus("red wool", 5)[0], rows)


def test_a_fingerprint_of_all_that_decides_scores(model, retriever, tmp_path):
    other = make_model(tmp_path, seed=1)
    specs = [f"rerank:{other}", f"rerank:{model}?dtype=bfloat16", f"rerank:{model}?depth=7", f"rerank:{model}"]
    made = [make_retriever(spec, CORPUS).fingerprint for spec in specs]
    assert len(set(made)) == 4
    assert made[-1] == retriever.fingerprint


def test_a_judge_of_a_task(model):
    judge = task(f"rerank:{model}?device=cpu")
    assert 0 < judge.rewards(["q00"], ["red coat"])[0] <= 1
    assert judge.rewards(["q00"], [""])[0] == 0


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ("?depth=0", "depth of the retriever 'rerank' as at least 1; got 0"),
        ("?dtype=int8", "dtype of the retriever 'rerank' as one of"),
        ("?depth=5&first=bm52", "unknown retriever 'bm52'"),
    ],
)
def test_wrong_settings(model, settings, match):
    with pytest.raises(TaskError, match=match):
        make_retriever(f"rerank:{model}{settings}", CORPUS)


def test_a_classifier_is_no_judge(tmp_path):
    made = make_retriever(f"rerank:{make_model(tmp_path, labels=3)}?device=cpu", CORPUS)
    with pytest.raises(TaskError, match="with one output; got 3"):
        whole(made, "red")
