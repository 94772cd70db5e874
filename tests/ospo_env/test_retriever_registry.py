"""Retrievers by name, as objects and as factories: what is made of each, and what is said of what makes none."""

import pickle

import numpy as np
import pytest

from ospo_env.errors import RetrieverError, TaskError
from ospo_env.retrievers import Corpus, make_retriever, register_retriever
from ospo_env.retrievers.bm25 import BM25Retriever
from ospo_env.retrievers.registry import _KINDS, resolve_retriever
from shop import documents

DOCUMENTS = documents()
CORPUS = Corpus.of_texts(DOCUMENTS)


class Constant:
    """A user's retriever: the same score for every document."""

    name, fingerprint, linear = "constant", "constant-1", False

    def __init__(self, corpus=None):
        self.corpus = corpus

    def score_pools(self, texts, pools):
        return np.where(pools < 0, -np.inf, 1.0)

    def rank_corpus(self, text, k):
        return np.arange(k, dtype=np.int32), np.ones(k)

    def cuts_cleanly(self, text, offsets):
        return True


constant = Constant()


def failing(corpus):
    raise OSError("no index\n  at all")


@pytest.fixture
def _registry(monkeypatch):
    monkeypatch.setattr("ospo_env.retrievers.registry._KINDS", dict(_KINDS))


@pytest.mark.usefixtures("_registry")
def test_registering():
    register_retriever("constant", Constant)
    made = make_retriever("constant", CORPUS)
    assert isinstance(made, Constant)
    assert made.corpus is CORPUS
    for name in ("my:retriever", "", "mine?", "a,b", "a+b"):
        with pytest.raises(TaskError, match="colon"):
            register_retriever(name, Constant)


class Configured(Constant):
    def __init__(self, corpus, where, *, depth=3, scale=0.5, fast=False, prompt=None):
        self.given = (where, depth, scale, fast, prompt)


@pytest.mark.usefixtures("_registry")
def test_an_argument_and_settings():
    register_retriever("configured", Configured, argument="a directory")
    made = make_retriever("configured:/a b?depth=7&scale=2&fast=true&prompt=query:%20a%26b=c +", CORPUS)
    assert made.given == ("/a b", 7, 2.0, True, "query: a&b=c +")
    again = make_retriever("configured:/a b?scale=2&depth=7&prompt=query: a%26b=c +&fast=true", CORPUS)
    assert again is made
    assert make_retriever("configured:/a b?depth=8", CORPUS).given == ("/a b", 8, 0.5, False, None)
    assert make_retriever("configured:/a%2Cb%3F", CORPUS).given[0] == "/a,b?"
    assert make_retriever("configured:x", CORPUS) is not make_retriever("configured:y", CORPUS)
    factory = resolve_retriever("configured:x?depth=8")
    assert pickle.loads(pickle.dumps(factory)) == factory


def test_settings_change_the_fingerprint():
    made = make_retriever("bm25?k1=0.9&b=0.4", CORPUS)
    assert made.fingerprint == BM25Retriever(CORPUS, k1=0.9, b=0.4).fingerprint
    assert make_retriever("bm25?", CORPUS).fingerprint == make_retriever("bm25", CORPUS).fingerprint


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("configured", "expected a directory after 'configured:'; got 'configured'"),
        ("configured:", "expected a directory after 'configured:'"),
        ("configured:?depth=1", "expected a directory after 'configured:'"),
        ("configured:x?dpeth=1", "unknown setting of the retriever 'configured': 'dpeth'; did you mean 'depth'"),
        ("configured:x?depth", "expected depth=value"),
        ("configured:x?depth=1.5", "expected depth of the retriever 'configured' as int; got '1.5'"),
        ("configured:x?scale=much", "expected scale of the retriever 'configured' as float; got 'much'"),
        ("configured:x?fast=yes", "expected fast of the retriever 'configured' as true or false; got 'yes'"),
        ("json:dumps", "the retriever 'json' takes no argument; got 'json:dumps'"),
        ("bm25:x", "the retriever 'bm25' takes no argument"),
        ("bm52?k1=1", "unknown retriever 'bm52.k1=1'"),
    ],
)
def test_wrong_arguments_and_settings(spec, match):
    register_retriever("configured", Configured, argument="a directory")
    register_retriever("json", Constant)  # from here on it is no module
    with pytest.raises(TaskError, match=match) as error:
        make_retriever(spec, CORPUS)
    assert "\n" not in str(error.value)


def test_an_object_a_factory_or_an_import_path():
    assert make_retriever(constant, CORPUS) is constant
    assert isinstance(make_retriever(Constant, CORPUS), Constant)
    assert make_retriever(f"{__name__}:constant", CORPUS) is constant
    assert isinstance(make_retriever(f"{__name__}:Constant", CORPUS), Constant)


def test_equal_documents_share_a_retriever_and_others_do_not():
    ids, titles = CORPUS.doc_ids, CORPUS.titles
    shared = make_retriever("bm25", CORPUS)
    assert make_retriever("bm25", Corpus(list(ids), list(DOCUMENTS))) is shared
    others = [
        Corpus(ids, [*DOCUMENTS[:-1], "something else"]),
        Corpus([*ids[:-1], "x"], DOCUMENTS),  # an engine is joined by the ids
        Corpus(ids, DOCUMENTS, [*titles[:-1], "x"]),
    ]
    for other in others:
        assert make_retriever("bm25", other) is not shared
    assert others[0].digest != CORPUS.digest
    assert others[1].digest == CORPUS.digest
    assert Corpus.of_texts(["ab", "c"]).digest != Corpus.of_texts(["a", "bc"]).digest


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("bm52", "unknown retriever 'bm52'; did you mean 'bm25'"),
        ("BM25", "unknown retriever 'BM25'; did you mean 'bm25'"),
        ("", "unknown retriever ''"),
        ("no_such_module:thing", "cannot import the module .*no_such_module"),
        (".relative:thing", "cannot import the module of the retriever '.relative:thing': TypeError"),
        ("json:dumps", "cannot make a retriever with 'json:dumps'.*: TypeError: Object of type Corpus"),
        ("json:JSONEncoder", "cannot make a retriever with 'json:JSONEncoder'.*: TypeError"),
        (f"{__name__}:failing", "cannot make a retriever with '.*:failing'.*: OSError: no index at all"),
        (failing, "cannot make a retriever with the function failing passed as retriever.*: OSError: no index"),
        (f"{__name__}:Constnat", "did you mean 'Constant'"),
        (f"{__name__}:DOCUMENTS", "got list without name"),
        (lambda corpus: None, "got NoneType without name"),
        (7, "the int passed as retriever"),
    ],
)
def test_specifications_that_make_no_retriever(spec, match):
    with pytest.raises(TaskError, match=match) as error:
        make_retriever(spec, CORPUS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("content", "reason"), [("1 / 0", "ZeroDivisionError"), ("def", "SyntaxError")])
def test_a_module_that_fails_is_named(tmp_path, monkeypatch, content, reason):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"fails_{reason}.py").write_text(content)
    with pytest.raises(TaskError, match=f"cannot import the module .*'fails_{reason}:thing': {reason}: ") as error:
        make_retriever(f"fails_{reason}:thing", CORPUS)
    assert "\n" not in str(error.value)


def unreachable(corpus):
    raise RetrieverError("the server does not answer")


def test_a_factory_that_says_what_is_wrong_is_quoted_unchanged():
    with pytest.raises(TaskError, match=r"^expected at least two documents"):
        make_retriever("lsa", Corpus.of_texts(["", ""], "two blank documents"))
    with pytest.raises(RetrieverError, match=r"^the server does not answer$"):
        make_retriever(unreachable, CORPUS)


class Former(Constant):
    """A factory of two arguments."""

    def __init__(self, documents, corpus):
        self.documents = documents


class FormerConfigured(Constant):
    def __init__(self, documents, corpus, where, *, depth=3):
        self.documents = documents


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize("spec", [Former, f"{__name__}:Former", "former", "former-configured:x?depth=4"])
def test_a_factory_of_two_arguments_is_told_what_to_change(spec):
    register_retriever("former", Former)
    register_retriever("former-configured", FormerConfigured, argument="a directory")
    with pytest.raises(TaskError, match=r"expected a factory of one argument, an ospo_env\.Corpus; .*ormer") as error:
        make_retriever(spec, CORPUS)
    assert "(documents, corpus) by (corpus)" in str(error.value)
    assert "'documents, corpus = corpus.texts, corpus.digest'" in str(error.value)
    assert "\n" not in str(error.value)
