"""The text of a coalition, and the checks of spans and coalitions."""

import numpy as np
import pytest
from hypothesis import given

from ospo_env.errors import TaskError
from ospo_env.scoring.coalitions import check_coalitions, check_spans, coalition_text, cut_spans
from ospo_env.text import cuts_between_words, tokens
from shop import SETTINGS, all_coalitions, cut_texts

SPANS = [(0, 4), (4, 9), (9, 13)]
TEXT = "red,wool coat"


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([1, 1, 1], "red,wool coat"),
        ([0, 0, 0], ""),
        ([1, 0, 1], "red, coat"),
        ([1, 1, 0], "red,wool "),
        ([0, 0, 1], "coat"),  # no space where nothing was kept before
        ([1, 0, 0], "red,"),
    ],
)
def test_text_of_a_coalition(mask, expected):
    assert coalition_text(TEXT, SPANS, np.array(mask, dtype=bool)) == expected


def test_segments_without_characters_are_null_players():
    spans = [(0, 0), (0, 3), (3, 3), (3, 6), (6, 6)]
    for mask in all_coalitions(5):
        bare = coalition_text("redtea", [(0, 3), (3, 6)], mask[[1, 3]])
        assert coalition_text("redtea", spans, mask) == bare


@SETTINGS
@given(cut_texts())
def test_words_never_glue_together(cut):
    text, spans = cut
    if not cuts_between_words(text, [start for start, _ in spans]):
        return
    for mask in all_coalitions(len(spans)):
        kept = [text[start:end] for (start, end), keep in zip(spans, mask, strict=True) if keep]
        assert tokens(coalition_text(text, spans, mask)) == [token for part in kept for token in tokens(part)]


def test_plain_joining_would_glue():  # negative control
    spans = [(0, 3), (3, 4), (4, 8)]
    assert tokens("red" + "wool") != tokens("red") + tokens("wool")
    assert coalition_text("red,wool", spans, np.array([True, False, True])) == "red wool"


def test_cutting_spans():
    np.testing.assert_array_equal(cut_spans(np.array(SPANS), 6), [(0, 4), (4, 6), (6, 6)])


@pytest.mark.parametrize("spans", [[], np.empty((0, 2), dtype=np.int64)])
def test_an_empty_text_has_no_segments(spans):
    assert check_spans("", spans).shape == (0, 2)
    assert check_coalitions(np.zeros((3, 0), dtype=bool), 0).shape == (3, 0)


@pytest.mark.parametrize(
    ("spans", "error", "match"),
    [
        ([], TaskError, "expected an end at 13; got 0"),
        ([(0, 4), (4, 9)], TaskError, "expected an end at 13; got 9"),
        ([(0, 4), (5, 13)], TaskError, "segment 1 to start at 4; got \\(5, 13\\)"),
        ([(0, 6), (4, 13)], TaskError, "segment 1 to start at 6"),
        ([(1, 13)], TaskError, "segment 0 to start at 0"),
        ([(0, 14)], TaskError, "expected an end at 13; got 14"),
        ([(0, 9), (9, 4), (4, 13)], TaskError, "segment 1"),
        ([(0, 4, 13)], TaskError, "pairs"),
        ([0, 13], TaskError, "pairs"),
        ([(0, 4), (4,)], TaskError, "one length"),
        ([(0.0, 13.0)], TypeError, "integers"),
    ],
)
def test_spans_that_do_not_tile(spans, error, match):
    with pytest.raises(error, match=match) as caught:
        check_spans(TEXT, spans, " of text 2")
    assert "of text 2" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("matrix", "error", "match"),
    [
        (np.ones((2, 3), dtype=int), TypeError, "boolean"),
        (np.ones((2, 3)), TypeError, "boolean"),
        ([], TypeError, "boolean"),
        (np.ones((2, 4), dtype=bool), TaskError, r"\(C, 3\).*\(2, 4\)"),
        (np.ones(3, dtype=bool), TaskError, r"\(C, 3\).*\(3,\)"),
        ([[True], [True, False]], TaskError, "one length"),
    ],
)
def test_matrices_that_are_not_coalitions(matrix, error, match):
    with pytest.raises(error, match=match) as caught:
        check_coalitions(matrix, 3, " of text 2")
    assert "of text 2" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_nested_list_of_booleans_will_do():
    assert check_coalitions([[True, False]], 2).dtype == np.bool_
