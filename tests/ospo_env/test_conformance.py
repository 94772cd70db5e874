"""The conformance kit: the retrievers of this package pass it, and each wrong one breaks the clause it was made for."""

import numpy as np
import pytest

import wrong_retrievers
from ospo_env.conformance import CLAUSES, ConformanceError, check_retriever, make_case
from ospo_env.errors import TaskError
from ospo_env.retrievers import Corpus, make_retriever
from shop import documents
from wrong_retrievers import WRONG, Right, RightAndLinear


def broken(case, *but):
    """The clauses that a case breaks, of all but some."""
    checked = {name: clause for name, clause in CLAUSES.items() if name not in but}
    return [name for name, clause in checked.items() if clause(case, np.random.default_rng(0)) is not None]


@pytest.mark.parametrize("name", ["bm25", "chargram", "lsa"])
def test_the_retrievers_of_this_package_conform(name):
    check_retriever(name)


@pytest.mark.parametrize("retriever", [Right, RightAndLinear, "wrong_retrievers:RightAndLinear"])
def test_a_right_one_conforms_however_it_is_named(retriever):
    check_retriever(retriever, documents())


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_one_breaks_its_clause_and_no_other(wrong):
    slow = () if WRONG[wrong] in ("processes", "pickles", "fingerprint") else ("processes",)
    assert broken(make_case(wrong), *slow) == [WRONG[wrong]]


def test_every_clause_is_broken_by_something_and_says_what_it_asks():
    assert set(WRONG.values()) == set(CLAUSES)
    assert all(clause.__doc__ for clause in CLAUSES.values())


@pytest.mark.parametrize("wrong", [wrong_retrievers.Blank, wrong_retrievers.Cuts], ids=["Blank", "Cuts"])
def test_the_error_names_the_clause_and_shows_the_counterexample(wrong):
    with pytest.raises(ConformanceError, match=rf"^retriever 'right' breaks the clause '{WRONG[wrong]}': .*") as error:
        check_retriever(wrong)
    assert error.value.clause == WRONG[wrong]
    assert "\n" not in str(error.value)
    assert isinstance(error.value, TaskError)


def test_a_retriever_that_raises_breaks_the_clause_that_found_out():
    with pytest.raises(ConformanceError, match=r"'blank': it raises OSError: no such index$"):
        check_retriever(wrong_retrievers.Raises)


def test_a_retriever_that_was_made_needs_its_documents():
    made = make_retriever(RightAndLinear, Corpus.of_texts(documents(), "digest"))
    check_retriever(made, documents())
    with pytest.raises(TaskError, match="pass documents="):
        check_retriever(made)
    with pytest.raises(TaskError, match="at least two documents"):
        check_retriever("bm25", ["red"])
    with pytest.raises(TaskError, match="did you mean 'bm25'"):
        check_retriever("bm52")


def test_a_factory_that_no_other_process_can_import():
    check_retriever(lambda corpus: RightAndLinear(corpus))


class Noisy(Right):
    """Scores that differ by less than 1e-6 between calls, as those of a neural encoder may."""

    calls = 0

    def score_pools(self, texts, pools):
        self.calls += 1
        return super().score_pools(texts, pools) + 1e-7 * (self.calls % 3)


def test_a_tolerance_forgives_that_much_and_no_more():
    assert "batch" in broken(make_case(Noisy), "processes")
    assert broken(make_case(Noisy, tolerance=1e-6), "processes") == []
    assert "batch" in broken(make_case(wrong_retrievers.Batch, tolerance=1e-6), "processes")


def test_texts_of_your_own():
    silent = make_case(wrong_retrievers.Unknown, unknown=())
    assert broken(silent, "processes") == []
    assert make_case("bm25", texts=["red"]).texts == ("red",)
