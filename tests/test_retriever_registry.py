"""Retrievers by name, as objects and as factories: what is made of each, and what is said of what makes none."""

import numpy as np
import pytest
from shop import documents

from ospo_env.errors import RetrieverError, TaskError
from ospo_env.retrievers import make_retriever, register_retriever
from ospo_env.retrievers.registry import _FACTORIES, corpus_digest

DOCUMENTS = documents()


class Constant:
    """A user's retriever: the same score for every document."""

    name, fingerprint, linear = "constant", "constant-1", False

    def __init__(self, documents=(), corpus=""):
        self.documents = documents

    def score_pools(self, texts, pools):
        return np.where(pools < 0, -np.inf, 1.0)

    def rank_corpus(self, text, k):
        return np.arange(k, dtype=np.int32), np.ones(k)

    def cuts_cleanly(self, text, offsets):
        return True


constant = Constant()


def failing(documents, corpus):
    raise OSError("no index\n  at all")


@pytest.fixture
def _registry(monkeypatch):
    monkeypatch.setattr("ospo_env.retrievers.registry._FACTORIES", dict(_FACTORIES))


@pytest.mark.usefixtures("_registry")
def test_registering():
    register_retriever("constant", Constant)
    made = make_retriever("constant", DOCUMENTS, "digest")
    assert isinstance(made, Constant)
    assert made.documents is DOCUMENTS
    with pytest.raises(TaskError, match="colon"):
        register_retriever("my:retriever", Constant)


def test_an_object_a_factory_or_an_import_path():
    assert make_retriever(constant, DOCUMENTS, "d") is constant
    assert isinstance(make_retriever(Constant, DOCUMENTS, "d"), Constant)
    assert make_retriever(f"{__name__}:constant", DOCUMENTS, "d") is constant
    assert isinstance(make_retriever(f"{__name__}:Constant", DOCUMENTS, "d"), Constant)


def test_equal_documents_share_a_retriever_and_others_do_not():
    digest = corpus_digest(DOCUMENTS)
    shared = make_retriever("bm25", DOCUMENTS, digest)
    assert make_retriever("bm25", list(DOCUMENTS), digest) is shared
    other = [*DOCUMENTS[:-1], "something else"]
    assert corpus_digest(other) != digest
    assert corpus_digest(["ab", "c"]) != corpus_digest(["a", "bc"])
    assert make_retriever("bm25", other, corpus_digest(other)) is not shared


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("bm52", "unknown retriever 'bm52'; did you mean 'bm25'"),
        ("BM25", "unknown retriever 'BM25'; did you mean 'bm25'"),
        ("", "unknown retriever ''"),
        ("no_such_module:thing", "cannot import the module .*no_such_module"),
        (".relative:thing", "cannot import the module of the retriever '.relative:thing': TypeError"),
        ("json:dumps", "cannot make a retriever with 'json:dumps'.*: TypeError: dumps"),
        ("json:JSONEncoder", "cannot make a retriever with 'json:JSONEncoder'.*: TypeError"),
        (f"{__name__}:failing", "cannot make a retriever with '.*:failing'.*: OSError: no index at all"),
        (failing, "cannot make a retriever with the function failing passed as retriever.*: OSError: no index"),
        (f"{__name__}:Constnat", "did you mean 'Constant'"),
        (f"{__name__}:DOCUMENTS", "got list without name"),
        (lambda documents, corpus: None, "got NoneType without name"),
        (7, "the int passed as retriever"),
    ],
)
def test_specifications_that_make_no_retriever(spec, match):
    with pytest.raises(TaskError, match=match) as error:
        make_retriever(spec, DOCUMENTS, "d")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("content", "reason"), [("1 / 0", "ZeroDivisionError"), ("def", "SyntaxError")])
def test_a_module_that_fails_is_named(tmp_path, monkeypatch, content, reason):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"fails_{reason}.py").write_text(content)
    with pytest.raises(TaskError, match=f"cannot import the module .*'fails_{reason}:thing': {reason}: ") as error:
        make_retriever(f"fails_{reason}:thing", DOCUMENTS, "d")
    assert "\n" not in str(error.value)


def unreachable(documents, corpus):
    raise RetrieverError("the server does not answer")


def test_a_factory_that_says_what_is_wrong_is_quoted_unchanged():
    with pytest.raises(TaskError, match=r"^expected at least two documents"):
        make_retriever("lsa", ["", ""], "two blank documents")
    with pytest.raises(RetrieverError, match=r"^the server does not answer$"):
        make_retriever(unreachable, DOCUMENTS, "d")
