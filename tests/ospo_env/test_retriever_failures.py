"""Whatever a retriever raises or returns, a failure is a RetrieverError never a reward, an end or an empty result."""

import asyncio

import numpy as np
import pytest

from ospo_env import RetrieverError, RewriteEnv, RewriteVectorEnv, TaskError, make_reference_policy
from ospo_env.conformance import ConformanceError, check_retriever
from ospo_env.retrievers import Corpus, make_retriever
from shop import Wrapped, all_coalitions, documents, shop, task

TEXT, SPANS = "red wool, linen coat", [(0, 4), (4, 10), (10, 16), (16, 20)]
BOTH = pytest.mark.parametrize("candidates", ["pool", "corpus"])


def bm25():
    return make_retriever("bm25", Corpus.of_documents(shop().documents))


class Panic(BaseException):
    """What compiled extensions raise, such as pyo3's PanicException."""


class Faulty(Wrapped):
    """Raises an exception, or returns what a function makes of the right result."""

    def __init__(self, fault):
        super().__init__(bm25())
        self.fault = fault

    def score_pools(self, texts, pools):
        return self.spoil(super().score_pools(texts, pools))

    def rank_corpus(self, text, k):
        rows, scores = super().rank_corpus(text, k)
        return rows, self.spoil(scores)

    def spoil(self, scores):
        if isinstance(self.fault, BaseException):
            raise self.fault
        return self.fault(scores)


def replaced(value):
    def fault(scores):
        scores = scores.copy()
        scores.reshape(-1)[-1] = value
        return scores

    return fault


def half_masked(scores):
    return np.ma.masked_array(scores, mask=np.arange(scores.size).reshape(scores.shape) % 2 == 0)


FAULTS = {
    "StopIteration": StopIteration(),
    "SystemExit": SystemExit(0),
    "GeneratorExit": GeneratorExit(),
    "CancelledError": asyncio.CancelledError(),
    "panic": Panic("index out of bounds"),
    "MemoryError": MemoryError(),
    "RetrieverError": RetrieverError("the server is gone"),
    "NaN": replaced(np.nan),
    "infinity": replaced(np.inf),
    "masked": half_masked,
    "matrix": lambda scores: scores.reshape(*scores.shape, 1),
    "too few": lambda scores: scores[..., :-1],
    "text": lambda scores: scores.astype(str),
    "objects": lambda scores: scores.astype(object),
    "complex": lambda scores: scores.astype(complex),
    "truth": lambda scores: scores > 0,
    "nothing": lambda scores: None,
    "generator": lambda scores: (score for score in scores),
    "beyond float64": lambda scores: np.full(scores.shape, np.longdouble("1e4000")),
}
each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


@each_fault
@BOTH
def test_a_fault_is_a_typed_error_wherever_it_shows(fault, candidates):
    faulty = task(Faulty(fault), candidates=candidates)
    every = all_coalitions(4)
    for call in (
        lambda: faulty.rewards(["q00"], [TEXT]),
        lambda: faulty.coalition_values(["q00"], [TEXT], [SPANS], [every]),
        lambda: faulty.outcomes(["q00"], [TEXT]),
        lambda: faulty.evaluate(["q00", "q01"], [TEXT] * 2),
        lambda: faulty.rankings(["q00"], [TEXT]),
    ):
        with pytest.raises(RetrieverError, match=r"^retriever 'wrapped-bm25'") as error:
            call()
        assert "\n" not in str(error.value)
    assert faulty.counters["cached"] == 0


@each_fault
@BOTH
def test_environments_pass_it_on(fault, candidates):
    single = RewriteEnv(data=shop(), retriever=Faulty(fault), candidates=candidates)
    vector = RewriteVectorEnv(3, data=shop(), retriever=Faulty(fault), candidates=candidates)
    for env, action in ((single, TEXT), (vector, [TEXT] * 3)):
        env.reset(seed=0)
        with pytest.raises(RetrieverError, match=r"^retriever 'wrapped-bm25'"):
            env.step(action)


@each_fault
def test_feedback_passes_it_on(fault):
    faulty = task(Faulty(fault))
    with pytest.raises(RetrieverError, match=r"^retriever 'wrapped-bm25'"):
        make_reference_policy("prf", faulty)(["q00"], [""])


@BOTH
def test_the_same_calls_without_a_fault(candidates):
    """The negative control."""
    right, wrapped = task("bm25", candidates=candidates), task(Faulty(lambda scores: scores), candidates=candidates)
    games = (["q00"], [TEXT], [SPANS], [all_coalitions(4)])
    assert wrapped.outcomes(["q00"], [TEXT]) == right.outcomes(["q00"], [TEXT])
    np.testing.assert_array_equal(wrapped.coalition_values(*games)[0], right.coalition_values(*games)[0])
    assert right.rewards(["q00"], [TEXT])[0] > 0
    for harmless in (lambda scores: scores.astype(np.float32), lambda scores: scores.tolist()):
        assert task(Faulty(harmless), candidates=candidates).rewards(["q00"], [TEXT]) == right.rewards(["q00"], [TEXT])


@BOTH
def test_a_person_can_interrupt(candidates):
    with pytest.raises(KeyboardInterrupt):
        task(Faulty(KeyboardInterrupt()), candidates=candidates).rewards(["q00"], [TEXT])


@pytest.mark.parametrize("answer", [None, 3, lambda text, k: None, (np.arange(3),), (1, 2, 3)])
def test_rankings_that_are_no_pair(answer):
    class Odd(Wrapped):
        def rank_corpus(self, text, k):
            return answer

    with pytest.raises(RetrieverError, match="failed on ranking the corpus"):
        task(Odd(bm25()), candidates="corpus").rewards(["q00"], [TEXT])


@pytest.mark.parametrize("clean", [None, "yes", np.ones(3, dtype=bool), 1])
def test_cuts_that_are_no_truth(clean):
    class Odd(Wrapped):
        def cuts_cleanly(self, text, offsets):
            return clean

    with pytest.raises(RetrieverError, match="expected a bool from cuts_cleanly"):
        task(Odd(bm25())).coalition_values(["q00"], [TEXT], [SPANS], [all_coalitions(4)])


def exits(corpus):
    raise SystemExit(0)


def test_exits_of_factories_and_modules_are_errors(tmp_path, monkeypatch):
    with pytest.raises(TaskError, match=r"cannot make a retriever with .*exits.*SystemExit: 0"):
        make_retriever(exits, Corpus.of_texts(documents(), "d"))
    (tmp_path / "module_that_exits.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TaskError, match=r"cannot import the module .*module_that_exits.*SystemExit: 0"):
        make_retriever("module_that_exits:thing", Corpus.of_texts(documents(), "d"))


def test_the_conformance_kit_reports_an_exit():
    with pytest.raises(ConformanceError, match="it raises SystemExit: 0"):
        check_retriever(Faulty(SystemExit(0)), documents())
