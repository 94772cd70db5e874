"""Segments tile the text, never cut a word, stay short, and are decided when they say so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ospo_agents.errors import AgentError
from ospo_agents.segments import (
    SEGMENTERS,
    STOP_WORDS,
    decision_points,
    make_union_segmenter,
    phrases,
    sentences,
    unions,
    words,
)
from ospo_env.text import cuts_between_words

ALPHABET = list("aab bfor the,.!?;|-'’&%3 \n\t()\"é\u0301ü靴赤い。、！「」ﾊﾞ한국हिन्दी😀👩🏽\u200d\ud83d\ufffd")
WORDS = [
    "red",
    " ",
    "for",
    " for",
    "mal",
    " the",
    ", ",
    ". ",
    "t-shirt",
    "3.5",
    "1,000",
    "Dr",
    ".",
    "靴",
    "。",
    "\n",
    "😀",
]
TEXTS = st.one_of(
    st.text(alphabet=ALPHABET, max_size=30), st.lists(st.sampled_from(WORDS), max_size=14).map("".join), st.text()
)


def cut(segmenter, text):
    return [text[start:end] for start, end in segmenter(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("   ", ["   "]),
        ("?!😀", ["?!😀"]),
        ("shoes", ["shoes"]),
        ("red running shoes", ["red running shoes"]),
        ("red trail running shoes", ["red trail running", " shoes"]),
        ("red, light shoes", ["red,", " light shoes"]),
        ("shoes for the beach", ["shoes", " for the beach"]),
        ("for the", ["for the"]),
        ("The shoes", ["The shoes"]),
        ("formal for her", ["formal", " for her"]),
        ("waterproof t-shirt, don't shrink", ["waterproof t-shirt,", " don't shrink"]),
        ("screen 3.5 inch", ["screen 3.5", " inch"]),
        ("a-b-c-d-e-f-g", ["a-b-c-", "d-e-f-", "g"]),
        ("100% cotton #1 m&m", ["100% cotton #1", " m&m"]),
        ("boots (black) warm", ["boots", " (black)", " warm"]),
        ("red | blue", ["red", " | blue"]),
        ("red\nblue", ["red", "\nblue"]),
        ("red,blue", ["red,", "blue"]),
        ("  red  ", ["  red  "]),
        ("😀 red 😀 blue", ["😀 red 😀 blue"]),
        ("赤い防水の靴、軽い", ["赤い防", "水の靴、", "軽い"]),
        ("Nike靴", ["Nike靴"]),
        ("방수 등산화 여성용 검정", ["방수 등산화 여성용", " 검정"]),
        ("cafe\u0301 cre\u0300me brule\u0301e noire", ["cafe\u0301 cre\u0300me brule\u0301e", " noire"]),
        ("ﾊﾞｯｸﾞ", ["ﾊﾞｯｸﾞ"]),
        ("ハ\u3099ック\u3099", ["ハ\u3099ック\u3099"]),
    ],
)
def test_phrases_by_hand(text, expected):
    assert cut(phrases, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Warm", ["Warm"]),
        ("Warm coat. For rain!  Black?", ["Warm coat.", " For rain!", "  Black?"]),
        ("Likes Dr. Martens. Size 3.5 only", ["Likes Dr. Martens.", " Size 3.5 only"]),
        ("The U.S. size M. Red", ["The U.S. size M.", " Red"]),
        ('She said "warm." Then black', ['She said "warm."', " Then black"]),
        ("one\ntwo", ["one", "\ntwo"]),
        ("Dr.\nMartens", ["Dr.", "\nMartens"]),
        ("赤い靴。軽い！\u3000防水", ["赤い靴。", "軽い！", "\u3000防水"]),
        ("wait... what", ["wait...", " what"]),
        ("example.com shoes", ["example.com shoes"]),
    ],
)
def test_sentences_by_hand(text, expected):
    assert cut(sentences, text) == expected


@pytest.mark.parametrize("name", SEGMENTERS)
@given(text=TEXTS)
def test_segments_tile_any_text(name, text):
    spans = SEGMENTERS[name](text)
    assert [start for start, _ in spans] == [0, *(end for _, end in spans)][: len(spans)]
    assert (spans[-1][1] if spans else 0) == len(text)
    assert all(start < end for start, end in spans)


@pytest.mark.parametrize("name", SEGMENTERS)
@given(text=TEXTS)
def test_no_boundary_lies_inside_a_word(name, text):
    """Not between two letters of one script, not before a combining mark; two CJK characters are two words."""
    for start, _ in SEGMENTERS[name](text)[1:]:
        before, after = text[start - 1], text[start]
        assert not ((before + after).isalnum() and (before + after).isascii())
        assert not (before.isalnum() and after in "\u0301\u3099\u200d\uff9e")
    assert cuts_between_words(text, [start for start, _ in SEGMENTERS[name](text)])


def test_the_retrievers_analyser_would_object():
    """The negative control: a cut inside a word is one."""
    assert not cuts_between_words("red shoes", [0, 6])
    assert cuts_between_words("red shoes", [0, 3])


def test_the_bound_holds_whatever_joins_words():
    rng = np.random.default_rng(0)
    for _ in range(300):
        text = "".join(rng.choice(["red", "b", "for", "-", "'", " ", ",", "3", "."], size=20))
        for max_words in (1, 2, 4):
            spans = phrases(text, max_words)
            lengths = [len("".join(c if c.isalnum() else " " for c in text[a:b]).split()) for a, b in spans]
            assert max(lengths) <= max_words
    longest = max(len(piece.split()) for piece in cut(lambda text: phrases(text, 9), "red " * 20))
    assert longest == 9  # the negative control: the bound is what holds them


@given(text=TEXTS)
def test_each_phrase_lies_in_one_sentence(text):
    coarse = sentences(text)
    assert {start for start, _ in coarse} <= {start for start, _ in phrases(text)}
    assert [player for block in unions(phrases(text), coarse) for player in block] == list(range(len(phrases(text))))


@given(text=TEXTS)
def test_each_word_lies_in_one_phrase(text):
    fine, coarse = words(text), make_union_segmenter("words-in-phrases")(text)
    assert coarse == phrases(text)
    assert {start for start, _ in coarse} <= {start for start, _ in fine}
    assert [player for block in unions(fine, coarse) for player in block] == list(range(len(fine)))


def test_unions_by_the_name_of_the_segmenter():
    text = "red wool, coat"
    assert {name: cut(make_union_segmenter(name), text) for name in SEGMENTERS} == {
        "words": [text],
        "phrases": [text],
        "sentences": [text],
        "words-in-phrases": ["red wool,", " coat"],
        "phrases-in-turns": [text],
    }
    with pytest.raises(AgentError, match="unknown segmenter 'word'; did you mean 'words'"):
        make_union_segmenter("word")


def test_a_run_of_stop_words_opens_one_phrase():
    assert {"for", "with", "and"} <= STOP_WORDS
    assert cut(phrases, "boots with a zip and for the snow") == ["boots", " with a zip", " and for the", " snow"]


def test_unions_by_hand():
    text = "Warm coat, black. For rain"
    assert cut(phrases, text) == ["Warm coat,", " black.", " For rain"]
    assert unions(phrases(text), sentences(text)) == [[0, 1], [2]]
    assert unions(phrases(text), phrases(text)) == [[0], [1], [2]]
    assert unions([(0, 5), (5, 9)], [(0, 2), (2, 7), (7, 9)]) == [[0], [1]]
    assert unions([], []) == []


@pytest.mark.parametrize("wrong", [[(1, 9)], [(0, 4), (5, 9)], [(0, 8)], []])
def test_unions_of_two_texts_are_refused(wrong):
    with pytest.raises(AgentError, match="expected"):
        unions(wrong, [(0, 9)])
    with pytest.raises(AgentError, match="expected"):
        unions([(0, 9)], wrong)


def test_max_words_below_one_is_refused():
    with pytest.raises(AgentError, match="max_words of at least 1, but got 0"):
        phrases("red", 0)


@pytest.mark.parametrize("name", SEGMENTERS)
@settings(max_examples=300)
@given(text=TEXTS, more=TEXTS)
def test_what_is_decided_stays_whatever_follows(name, text, more):
    """For every prefix and another continuation, the segments decided by the prefix are cut again."""
    spans = SEGMENTERS[name](text)
    for index, point in enumerate(decision_points(text, spans)):
        if point <= len(text):
            other = SEGMENTERS[name](text[:point] + more)
            assert other[: index + 1] == spans[: index + 1]
            assert point > spans[index][1]


def test_the_next_word_alone_does_not_decide():
    """The negative control: a phrase ends before ``for``, but not before ``formal``."""
    assert cut(phrases, "red shoes for") == ["red shoes", " for"]
    assert cut(phrases, "red shoes formal") == ["red shoes formal"]
    assert decision_points("red shoes for", phrases("red shoes for")) == [14, 14]
    assert decision_points("red shoes for h", phrases("red shoes for h")) == [15, 16]
    assert decision_points("", []) == []


def test_long_texts_take_linear_time():
    for text in ("red " * 5000, "?! " * 5000, " " * 20000, "((((" + " " * 20000 + "x", "a-" * 10000, "靴" * 20000):
        assert phrases(text)[-1][1] == len(text)
        assert sentences(text)[-1][1] == len(text)
        decision_points(text, phrases(text))
