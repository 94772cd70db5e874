"""Repeated words that are sent once: texts and worths written by hand, and sums that stay exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ospo_env.repeats import new_words, without_repeats, word_pieces
from ospo_env.scoring import pool_scorer
from ospo_env.scoring.split_words import part_members, split_repeats, whole_segments
from shop import SETTINGS, Wrapped, all_coalitions, documents, shop, task

IDS = shop().queries["query_id"].to_list()
QUERY = "coat please"  # of q00
TEXT = "red coat, Red wool; wool red linen"
SPANS = [(0, 9), (9, 19), (19, 28), (28, 34)]  # "red coat," | " Red wool;" | " wool red" | " linen"
LINEAR = ("bm25", "lsa", "chargram")
SENT = {  # what is sent for the segments that are kept, written by hand
    "": "",
    "0": "red coat",
    "1": "red wool",
    "2": "wool red",
    "3": "linen",
    "01": "red coat wool",
    "02": "red coat wool",
    "03": "red coat linen",
    "12": "red wool",
    "13": "red wool linen",
    "23": "wool red linen",
    "012": "red coat wool",
    "013": "red coat wool linen",
    "023": "red coat wool linen",
    "123": "red wool linen",
    "0123": "red coat wool linen",
}
BEHIND = {kept: " ".join(word for word in text.split() if word != "coat") for kept, text in SENT.items()}


def coalition(kept):
    return [str(segment) in kept for segment in range(4)]


def worths(made, text=TEXT, spans=SPANS, coalitions=None, prompt_id="q00"):
    coalitions = all_coalitions(len(spans)) if coalitions is None else np.array(coalitions, dtype=bool)
    return made.coalition_values([prompt_id], [text], [spans], [coalitions])[0]


@pytest.mark.parametrize(
    ("text", "known", "left"),
    [
        ("", (), ""),
        ("red coat", (), "red coat"),
        ("  red\ncoat  ", (), "  red\ncoat  "),  # nothing is dropped, so nothing changes
        ("red red", (), "red"),
        ("Red RED ｒｅｄ red", (), "Red"),  # full width
        ("straße STRASSE", (), "straße"),
        ("red shoe, red coat", (), "red shoe, coat"),
        ("camera, camera, camera", (), "camera,"),
        ("red coat", ("red",), "coat"),
        ("coat red", ("red",), "coat"),
        ("red", ("red",), ""),
        ("red-red-coat", (), "red- coat"),
        ("赤い赤red赤shoe", (), "赤い red shoe"),  # words that would touch stay apart
        ("(red) (red) wool", (), "(red) ( wool"),
        ("½ 1 2", (), "½ 1 2"),  # a word is its tokens together
        ("½ ½", (), "½"),
        ("\u034f \u034f", (), "\u034f \u034f"),  # no word at all
    ],
)
def test_texts_without_repeats(text, known, left):
    assert without_repeats(text, known) == left


def test_pieces_and_new_words():
    assert [text.word for text in word_pieces("Red, red!? WOOL")] == ["red", "red", "wool"]
    assert [piece.start for piece in new_words("red Red wool red coat", {"wool"})] == [0, 17]
    assert word_pieces("... !!!") == []


@pytest.mark.parametrize("candidates", ["pool", "corpus"])
@pytest.mark.parametrize("retriever", [*LINEAR, "fusion:bm25+lsa"])
def test_worths_are_those_of_texts_written_by_hand(retriever, candidates):
    plain = task(retriever, candidates=candidates)
    once = task(retriever, candidates=candidates, repeats="once")
    coalitions = [coalition(kept) for kept in SENT]
    expected = plain.rewards(["q00"] * 16, list(SENT.values()))
    assert worths(once, coalitions=coalitions).tobytes() == expected.tobytes()
    behind = task(retriever, candidates=candidates, compose="append", query_weight=2, repeats="once")
    expected = plain.rewards(["q00"] * 16, [f"{QUERY} {QUERY} {text}" for text in BEHIND.values()])
    assert worths(behind, coalitions=coalitions).tobytes() == expected.tobytes()
    # negative control: counted words are worth something else, in both modes
    counted = task(retriever, candidates=candidates)
    assert not np.array_equal(worths(counted, coalitions=coalitions), worths(once, coalitions=coalitions))
    counted = task(retriever, candidates=candidates, compose="append", query_weight=2)
    assert not np.array_equal(worths(counted, coalitions=coalitions), worths(behind, coalitions=coalitions))


def test_a_later_copy_is_no_null_player():
    """The second "red" counts where the first is left out, and there alone."""
    made, spans = task(repeats="once"), [(0, 3), (3, 7)]
    nothing, first, second, both = worths(made, "red red", spans)
    assert nothing == 0.0
    assert first == second == both > 0.0


def test_what_is_sent():
    once, behind = task(repeats="once"), task(compose="append", query_weight=2, repeats="once")
    assert once.sent(["q00"], [TEXT]) == ["red coat, wool; linen"]
    assert behind.sent(["q00"], [TEXT]) == [f"{QUERY} {QUERY} red wool; linen"]
    assert behind.sent(["q00"], ["Please, COAT!"]) == [QUERY]
    assert once.sent(["q00"], [QUERY]) == [QUERY]
    assert task().sent(["q00"], [TEXT]) == [TEXT]


def test_the_raw_query_counts_its_words_once_too():
    """In both modes, since it is a text that is sent."""
    row = IDS.index("q00")
    once, behind = task(repeats="once"), task(compose="append", repeats="once")
    for made in (once, behind):
        made._queries[row] = made._composer._queries[row] = "red red coat Coat"
    assert once.sent(["q00"], once.raw_rewrites(["q00"])) == ["red coat"] == behind.sent(["q00"], [""])
    assert behind.sent(["q00"], ["wool coat"]) == ["red coat wool"]


@pytest.mark.parametrize("linear", [True, False])
def test_the_cap_counts_what_is_sent(linear):
    """Copies do not use it up; what lies beyond it is a null player, also where an earlier segment is left out."""
    retriever = Wrapped(task().retriever, linear=linear)
    made = task(retriever, repeats="once", max_words=2)
    text, spans = "red red wool red linen wool coat", [(0, 7), (7, 12), (12, 22), (22, 32)]
    assert made.sent(["q00"], [text]) == ["red wool"]
    assert made.words_beyond_cap(["q00"], [text]) == [2]
    found = worths(made, text, spans)
    without = all_coalitions(4)
    without[:, 2:] = False
    np.testing.assert_array_equal(found, worths(made, text, spans, without))
    np.testing.assert_array_equal(found[:4], task().rewards(["q00"] * 4, ["", "red", "wool", "red wool"]))
    behind = task(retriever, compose="append", repeats="once", max_words=2)
    assert behind.sent(["q00"], ["coat red please wool coat linen"]) == [f"{QUERY} red wool"]
    assert behind.words_beyond_cap(["q00"], ["coat red please wool coat linen"]) == [1]


def test_a_long_query_at_the_start_of_a_rewrite_is_not_cut():
    row = IDS.index("q00")
    made = task(repeats="once", max_words=2)
    made._queries[row] = "red red wool coat"
    assert made.sent(["q00"], ["red red wool coat linen"]) == ["red wool coat"]
    assert made.words_beyond_cap(["q00"], ["red red wool coat linen"]) == [1]
    assert made.sent(["q00"], ["red wool red coat linen"]) == ["red wool"]  # another text


WORDS = st.sampled_from(["red", "Red", "wool", "coat", "please", "Größe", "赤い靴", "ﾚｻﾞｰ", "½", "1", "zzz"])
GAPS = st.sampled_from([" ", ", ", "", "-", "\n", ",", " ("])
CUT = st.tuples(
    st.lists(st.tuples(WORDS, GAPS), min_size=1, max_size=9).map(lambda pairs: "".join(map("".join, pairs))),
    st.randoms(use_true_random=False),
)


def tiled(text, random, most=5):
    """Spans that tile a text, cut anywhere."""
    inner = sorted(random.sample(range(1, len(text)), min(random.randrange(most), len(text) - 1)))
    return list(zip([0, *inner], [*inner, len(text)], strict=True))


class Characters:
    """Linear to the last character: each one counts by its code, in its own case, punctuation too."""

    name, fingerprint, linear = "characters", "characters-1", True

    def __init__(self):
        self.documents = documents()

    def score_pools(self, texts, pools):
        scores = np.full(pools.shape, -np.inf)
        for b, text in enumerate(texts):
            for place, row in enumerate(pools[b]):
                weights = [1 + ord(sign) * (row + 3) % 11 for sign in text if not sign.isspace()]
                if row >= 0 and weights and self.documents[row].strip():
                    scores[b, place] = sum(weights)
        return scores

    def rank_corpus(self, text, k):
        raise NotImplementedError

    def cuts_cleanly(self, text, offsets):
        return True


RETRIEVERS = {name: task(name).retriever for name in LINEAR} | {"characters": Characters()}
PAIRS = {
    (name, compose): (
        task(retriever, compose=compose, repeats="once"),
        task(Wrapped(retriever, linear=False), compose=compose, repeats="once"),
    )
    for name, retriever in RETRIEVERS.items()
    for compose in ("replace", "append")
}


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@SETTINGS
@given(cut=CUT, prompt_id=st.sampled_from(IDS))
def test_sums_are_the_scores_of_the_texts(pair, cut, prompt_id):
    text, spans = cut[0], tiled(*cut)
    linear, by_text = PAIRS[pair]
    found = worths(linear, text, spans, prompt_id=prompt_id)
    assert found.tobytes() == worths(by_text, text, spans, prompt_id=prompt_id).tobytes()


@pytest.mark.parametrize("name", RETRIEVERS)
def test_sums_of_whole_segments_are_not(name, monkeypatch):
    """The negative control: a segment's own scores add a word as often as it stands."""
    linear, by_text = PAIRS[name, "replace"]
    expected = worths(by_text)
    assert worths(linear).tobytes() == expected.tobytes()
    monkeypatch.setattr(pool_scorer, "split_repeats", lambda text, spans, known: whole_segments(text, spans))
    assert not np.array_equal(worths(linear), expected)


def test_forms_of_a_word_are_told_apart():
    """The form that is sent is that of the first segment that is kept."""
    split = split_repeats("Red coat, red; red, wool", np.array([(0, 8), (8, 14), (14, 24)]), {"coat"})
    assert split.own == ["", ",", "wool"]
    assert split.shared == [[(0, "Red"), (1, "red;"), (2, "red,")]]
    texts, members = part_members(split, all_coalitions(3).T)
    assert texts == ["", ",", "wool", "Red", "red;", "red,"]
    forms = [{texts[row] for row in np.flatnonzero(column) if row > 2} for column in members.T]
    assert forms == [set(), {"Red"}, {"red;"}, {"Red"}, {"red,"}, {"Red"}, {"red;"}, {"Red"}]


def test_a_cut_between_a_word_and_its_comma_takes_the_text_way():
    """What is dropped with a word would lie in two segments."""
    assert not split_repeats("red, red, wool", np.array([(0, 8), (8, 14)]), ()).exact
    assert split_repeats("red, red, wool", np.array([(0, 9), (9, 14)]), ()).exact
    assert split_repeats("red, wool, x", np.array([(0, 9), (9, 12)]), ()).exact  # nothing is dropped there
    assert not split_repeats(
        "red wool", np.array([(0, 5), (5, 8)]), ()
    ).exact  # a word is cut, so that there are others


@pytest.mark.parametrize("name", LINEAR)
def test_repeats_cost_their_words_not_their_coalitions(name):
    counting = Wrapped(RETRIEVERS[name])
    worths(task(counting, repeats="once"))
    (batch,) = counting.batches
    assert batch == ["red coat, wool; linen", "coat,", " linen", "red", "Red", "wool;", "wool"]
    counting.batches.clear()
    worths(task(counting, repeats="once"), "red wool coat", [(0, 3), (3, 8), (8, 13)])
    assert counting.batches == [["red wool coat", "red", " wool", " coat"]]  # without repeats nothing is new
