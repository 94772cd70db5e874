"""The analyser: tokens of a text are those of its pieces, wherever no word is cut."""

import time
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ospo_env.text import cap_words, clean_text, cuts_between_words, token_spans, tokens
from shop import ANY_TEXT, SETTINGS, TEXTS, cut_texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("!?... --- 🎉", []),
        ("Rain-proof JACKET (new)", ["rain", "proof", "jacket", "new"]),
        ("snake_case 3000mAh", ["snake_case", "3000mah"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("赤い靴", ["赤", "い", "靴"]),
        ("신발 two", ["신", "발", "two"]),
        ("ﾚｻﾞｰ", ["レ", "ザ", "ー"]),  # halfwidth kana with its sound mark
        ("m² ½", ["m2", "1", "2"]),
        ("abc赤い1", ["abc", "赤", "い", "1"]),
        ("\ud800red\udfff", ["red"]),
        ("हिन्दी", ["हिन्दी"]),  # vowel signs belong to their letters
    ],
)
def test_tokens(text, expected):
    assert tokens(text) == expected


@pytest.mark.parametrize("text", ["naïve café", "Größe", "ガラス", "각"])
def test_composed_and_decomposed_forms_are_one(text):
    decomposed = unicodedata.normalize("NFD", text)
    assert decomposed != text
    assert tokens(decomposed) == tokens(text)


@SETTINGS
@given(TEXTS)
def test_words_tell_the_tokens(text):
    spans = token_spans(text)
    assert all(start < end <= after for (start, end), (after, _) in pairwise(spans))
    assert [token for start, end in spans for token in tokens(text[start:end])] == tokens(text)
    assert not any(character.isspace() for token in tokens(text) for character in token)


@SETTINGS
@given(ANY_TEXT, ANY_TEXT)
def test_a_space_keeps_texts_apart(left, right):
    assert tokens(left + " " + right) == tokens(left) + tokens(right)


@SETTINGS
@given(cut_texts())
def test_clean_cuts_leave_tokens_whole(cut):
    text, spans = cut
    if cuts_between_words(text, [start for start, _ in spans]):
        assert [token for start, end in spans for token in tokens(text[start:end])] == tokens(text)


def stream_safe(word):
    """The words of a text in NFKC as UAX #15 says, a character at a time: a joiner before every 31st mark in a row."""
    safe, marks = "", 0
    for character in word:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > 30:
            safe, marks = safe + "\u034f", 1
        safe += character
    return unicodedata.normalize("NFKC", safe).casefold()


MARKS = "\u0301\u0316\u0323\u0308\u0327"


@SETTINGS
@given(st.text(alphabet=MARKS, max_size=100), st.text(alphabet=MARKS, max_size=100))
def test_long_runs_of_marks_are_normalised_in_parts(first, second):
    word = f"e{first}a{second}"
    assert tokens(word) == [stream_safe(word)]
    if max(len(first), len(second)) <= 30:
        assert tokens(word) == [unicodedata.normalize("NFKC", word)]


def seconds(call):
    """CPU time, the least of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize(
    "unit", ["\u0301\u0316", "a\u0301\u0316", "\u0316", "ガ\u3099", "\u0f71\u0f72", "é", "ﷺ", "x", "赤\u0301"]
)
def test_time_is_linear_in_the_length(unit):
    """The longest action takes less than a second; sorting its marks took ten."""
    text = "a" + unit * (99_999 // len(unit))
    assert seconds(lambda: tokens(text)) < 1.0
    for function in (token_spans, clean_text, lambda text: cap_words(text, 16)):
        assert seconds(lambda function=function: function(text)) < 1.0


def test_sorting_all_marks_takes_quadratic_time():
    """The negative control: a tenth of the text takes longer than the limit's share, and grows with the square."""
    short, long = (seconds(lambda n=n: unicodedata.normalize("NFKC", "a" + "\u0301\u0316" * n)) for n in (1_500, 6_000))
    assert long > 8 * short


def test_clean_cuts_negative_control():
    assert not cuts_between_words("red wool", [3, 5])
    assert tokens("red w") + tokens("ool") != tokens("red wool")
    assert not cuts_between_words("cafe\u0301", [4])  # a mark is no word of its own
    assert cuts_between_words("赤い", [1])
    assert cuts_between_words("red", [0, 3])
    assert cuts_between_words("", [0])


@SETTINGS
@given(TEXTS, st.integers(1, 6))
def test_cap_keeps_the_first_words(text, most):
    capped, beyond = cap_words(text, most)
    assert text.startswith(capped)
    assert len(token_spans(capped)) == min(most, len(token_spans(text)))
    assert beyond == len(token_spans(text)) - len(token_spans(capped))
    assert cap_words(capped, most) == (capped, 0)


def test_cap_counts_words_not_spaces():
    assert cap_words("red,wool;coat", 2) == ("red,wool", 1)
    assert cap_words("red wool!!", 2) == ("red wool!!", 0)


@SETTINGS
@given(TEXTS)
def test_clean_text_keeps_the_length_and_encodes(text):
    cleaned = clean_text(text)
    assert len(cleaned) == len(text)
    cleaned.encode()
    assert tokens(cleaned) == tokens(text)


def test_lone_surrogate_cannot_be_encoded_uncleaned():
    with pytest.raises(UnicodeEncodeError):
        "red \ud83d".encode()
    assert clean_text("red \ud83d") == "red \ufffd"
