"""The analyser: tokens of a text are those of its pieces, wherever no word is cut."""

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
