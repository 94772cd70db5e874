"""Credit of a batch of texts: what brute force gives, in one call, whatever else is in the batch."""

import ast
import subprocess
import sys
import zlib

import gymnasium as gym
import numpy as np
import pytest

from credit_games import TableGame, brute_force_owen, brute_force_shapley, tabulated
from ospo_agents import AgentError, assign_credit
from ospo_agents.assignment import EXACT_SEGMENTS, content_seed
from ospo_agents.credit import make_solution
from ospo_agents.credit.coalitions import all_coalitions
from ospo_agents.errors import BudgetError
from ospo_agents.segments import phrases, sentences, unions, words
from paths import ROOT
from toy_task import ToyTask

TEXTS = ["red wool coat, for the beach", "blue", "Long dress, warm. Silk, light! Linen shirt", ""]
IDS = ["p0", "p1", "p2", "p3"]
LONG = " ".join(f"w{number}" for number in range(EXACT_SEGMENTS + 2))


class ArbitraryTask:
    """Worths that are arbitrary numbers keyed by prompt and kept segments; the empty coalition is worth .4."""

    def __init__(self):
        self.calls = 0

    def coalition_values(self, prompt_ids, texts, spans, coalitions):
        self.calls += 1
        return [
            np.array([self.worth(*game, row) for row in rows])
            for *game, rows in zip(prompt_ids, texts, spans, coalitions, strict=True)
        ]

    def worth(self, prompt_id, text, spans, row):
        kept = "|".join(text[start:end] for (start, end), keep in zip(spans, row, strict=True) if keep)
        return np.random.default_rng(zlib.crc32(f"{prompt_id} {kept}".encode())).random() if kept else 0.4

    def game(self, prompt_id, text, spans):
        return tabulated(lambda rows: np.array([self.worth(prompt_id, text, spans, row) for row in rows]), len(spans))


def test_credit_is_what_brute_force_gives():
    task = ArbitraryTask()
    credited = assign_credit(task, IDS, TEXTS)
    for prompt_id, text, result in zip(IDS, TEXTS, credited, strict=True):
        assert (result.text, result.spans, result.solution) == (text, phrases(text), "shapley")
        assert result.standard_error is None
        if not text:
            assert (result.credit.shape, result.unions, result.worth) == ((0,), [], 0.4)
            continue
        game = task.game(prompt_id, text, phrases(text))
        right = brute_force_shapley(game, game.n)
        np.testing.assert_allclose(result.credit, right, rtol=0, atol=1e-12)
        assert np.abs(result.credit - right[::-1]).max() > 1e-3 or game.n == 1  # the check can fail
        assert result.worth == game.worths[-1]
        np.testing.assert_array_equal(result.worths, game(result.coalitions))
        assert result.distinct_coalitions == 2**game.n


def test_unions_are_sentences():
    (result,) = assign_credit(task := ArbitraryTask(), ["p2"], [TEXTS[2]], solution="owen", segmenter="phrases")
    assert result.unions == [[0, 1], [2, 3], [4]] == unions(phrases(TEXTS[2]), sentences(TEXTS[2]))
    game = task.game("p2", TEXTS[2], phrases(TEXTS[2]))
    np.testing.assert_allclose(result.credit, brute_force_owen(game, result.unions), rtol=0, atol=1e-12)
    assert np.abs(result.credit - brute_force_shapley(game, 5)).max() > 1e-3, "unions matter in this game"


SHOE = "red wool, warm coat"


@pytest.mark.parametrize("solution", ["owen", "sampled_owen"])
def test_owen_plays_words_in_phrases_by_default(solution):
    (result,) = assign_credit(task := ArbitraryTask(), ["p0"], [SHOE], solution=solution)
    assert (result.spans, result.unions, result.unions_matter) == (words(SHOE), [[0, 1], [2, 3]], True)
    game = task.game("p0", SHOE, words(SHOE))
    right = brute_force_owen(game, [[0, 1], [2, 3]])
    np.testing.assert_allclose(result.credit, right, rtol=0, atol=1e-12)
    assert result.distinct_coalitions == 2**2 + 2 * 2 * (2**2 - 2) == 12  # by METHOD's count
    shapley = brute_force_shapley(game, 4)
    assert np.abs(right - shapley).max() > 1e-3, "unions matter in this game"
    named = [
        assign_credit(ArbitraryTask(), ["p0"], [SHOE], solution=solution, segmenter=name)[0]
        for name in ("words-in-phrases", "words", "phrases")
    ]
    np.testing.assert_array_equal(named[0].credit, result.credit)
    # The meaning that the other names have had: unions are sentences, of which there is one here.
    np.testing.assert_allclose(named[1].credit, shapley, rtol=0, atol=1e-12)
    assert [(text.unions, text.unions_matter) for text in named[1:]] == [([[0, 1, 2, 3]], False), ([[0, 1]], False)]
    (other,) = assign_credit(ArbitraryTask(), ["p0"], [SHOE], solution="shapley")
    assert other.spans == phrases(SHOE), "a solution without unions plays phrases"


def test_unions_matter_where_there_are_two_and_one_has_two_segments():
    def matter(text):
        (result,) = assign_credit(ArbitraryTask(), ["p0"], [text], solution="owen")
        if result.spans:
            game = ArbitraryTask().game("p0", text, result.spans)
            equal = np.abs(result.credit - brute_force_shapley(game, game.n)).max() < 1e-9
            assert result.unions_matter != equal  # true of games without symmetries
        return result.unions_matter

    texts = ("", "red", "red wool coat", "red, wool, coat", "red, wool coat")
    assert [matter(text) for text in texts] == [False, False, False, False, True]


def test_unions_of_segments_that_do_not_count_do_not_matter():
    (cut,) = assign_credit(Capped(len("red wool,")), ["p0"], [SHOE], solution="owen")
    assert (cut.unions, cut.players, cut.unions_matter) == ([[0, 1], [2, 3]], 2, False)
    (whole,) = assign_credit(Capped(len(SHOE)), ["p0"], [SHOE], solution="owen")
    assert whole.unions_matter


def test_owen_beyond_its_budget_is_sampled_by_its_own_form():
    """27 words in 9 phrases need 2^9 + 9 * 2^8 * (2^3 - 2) = 14,336 coalitions, a phrase more 2^10 * 31."""
    nine, ten, hundred = (", ".join(["red wool coat"] * count) for count in (9, 10, 100))
    owen = make_solution("owen", budget=14_336)
    exact, estimated, shapley = assign_credit(
        ToyTask(), ["p0"] * 3, [nine, ten, hundred], solution=owen, over_budget="sample"
    )
    assert (exact.solution, exact.distinct_coalitions) == ("owen", 14_336)
    assert (estimated.solution, len(estimated.coalitions) <= 512) == ("sampled_owen", True)
    assert (shapley.solution, len(shapley.spans)) == ("sampled_shapley", 300)  # a pair of orders needs 600
    for text in (exact, estimated, shapley):
        assert text.credit.sum() == pytest.approx(text.worth, abs=1e-9)
    with pytest.raises(BudgetError, match="30 segments needs 31,744 evaluations"):
        assign_credit(ToyTask(), ["p0"], [ten], solution=owen)


def test_one_call_for_a_batch():
    task = ArbitraryTask()
    together = assign_credit(task, IDS, TEXTS, solution="sampled_shapley")
    assert task.calls == 1
    batch = zip(IDS, TEXTS, strict=True)
    alone = [assign_credit(task, [key], [text], solution="sampled_shapley")[0] for key, text in batch]
    assert task.calls == 1 + len(TEXTS), "the negative control: calls are counted"
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.credit, other.credit)  # of the batch nothing depends but the number of calls
    assert assign_credit(task, [], []) == []
    assert task.calls == 1 + len(TEXTS)


@pytest.mark.parametrize("solution", ["shapley", "sampled_owen", "contiguous", "leave_one_out", "prefix_potential"])
def test_the_worth_is_the_reward(solution):
    task = gym.make("ospo_env:OSPO-ESCI-v0", retriever="bm25").unwrapped.task
    ids = task.prompts("train")[0][:4]
    texts = ["slide sandal, womens, suede shearling", "red coat", "", "wool. coat! " * 9]
    if solution == "shapley":
        texts[-1] = "wool. coat!"
    credited = assign_credit(task, ids, texts, solution=solution)
    assert [result.worth for result in credited] == task.rewards(ids, texts).tolist()  # bit for bit
    if solution == "contiguous":
        assert not credited[-1].coalitions.all(axis=1).any(), "its sample does not hold the whole text"


def test_credit_of_an_efficient_solution_sums_to_the_worth_above_the_empty_one():
    for solution in ("shapley", "owen", "myerson", "sampled_shapley", "sampled_owen", "prefix_potential"):
        for result in assign_credit(ArbitraryTask(), IDS, TEXTS, solution=solution):
            np.testing.assert_allclose(result.credit.sum(), result.worth - 0.4, rtol=0, atol=1e-12)
    first, *_ = assign_credit(ArbitraryTask(), IDS, TEXTS, solution="leave_one_out")
    assert abs(first.credit.sum() - first.worth + 0.4) > 1e-3, "the negative control"


def test_a_completion_without_a_text_is_worth_nothing():
    """The empty text is another thing: where the query is always sent, it is worth what the query is."""
    nothing, empty = assign_credit(ArbitraryTask(), ["p0", "p0"], [None, ""])
    assert (nothing.worth, nothing.text, nothing.spans, len(nothing.credit)) == (0.0, "", [], 0)
    assert empty.worth == 0.4


def test_credit_is_exact_as_long_as_that_is_cheap():
    exact, sampled = assign_credit(ToyTask(), ["p0", "p0"], [" ".join(LONG.split()[:-2]), LONG], segmenter="words")
    assert (len(exact.spans), exact.solution, exact.standard_error) == (EXACT_SEGMENTS, "shapley", None)
    assert (len(sampled.spans), sampled.solution) == (EXACT_SEGMENTS + 2, "sampled_shapley")
    assert sampled.standard_error.shape == (EXACT_SEGMENTS + 2,)
    assert len(sampled.coalitions) == sampled.distinct_coalitions == 512


def test_seeds_are_of_the_content_unless_told():
    def credit(*batch, seeds=None):
        ids, texts = zip(*batch, strict=True)
        return [
            result.credit.tolist()
            for result in assign_credit(
                ArbitraryTask(), ids, texts, segmenter=words, solution=make_solution("sampled_shapley", budget=32),
                seeds=seeds,
            )
        ]  # fmt: skip

    (own,) = credit(("p0", LONG))
    assert credit(("p1", "red"), ("p0", LONG))[1] == own
    assert credit(("p0", LONG), seeds=[content_seed("p0", LONG)]) == [own]
    assert credit(("p0", LONG), seeds=[7]) != [own]
    assert content_seed("q", "red") == zlib.crc32(b"q\0red") != content_seed("r", "red")
    assert content_seed("q", "\ud800") != content_seed("q", "")  # a lone surrogate has a seed too


class Broken(ArbitraryTask):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def coalition_values(self, *arguments):
        return self.change(super().coalition_values(*arguments))


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((["p0"], ["a", "b"]), {}, "one seed for each text, but got 1 prompt ids, 2 texts and 1 seeds"),
        ((["p0"], ["a"]), {"seeds": []}, "1 prompt ids, 1 texts and 0 seeds"),
        ((["p0"], ["a"]), {"segmenter": "phrase"}, "unknown segmenter 'phrase'; did you mean 'phrases'"),
        ((["p0"], ["a"]), {"solution": "shaply"}, "unknown solution 'shaply'; did you mean 'shapley'"),
        ((["p0"], ["red coat"]), {"segmenter": lambda text: [(0, 3), (4, 8)]}, "expected fine spans that tile"),
        ((["p0"], ["red coat"]), {"segmenter": lambda text: [(0, 3)]}, "end at different characters"),
        ((["p0"], [LONG + ", x" * 20]), {"solution": "shapley"}, "use the solution 'sampled_shapley'"),
    ],
)
def test_wrong_arguments_are_named(arguments, settings, message):
    with pytest.raises(AgentError, match=message):
        assign_credit(ArbitraryTask(), *arguments, **settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values[:-1], r"expected coalition_values of the shapes \[\(3,\), \(3,\)\]"),
        (lambda values: [row[:-1] for row in values], r"but the task gave \[\(2,\), \(2,\)\]"),
        (lambda values: [row[:, None] for row in values], r"but the task gave \[\(3, 1\), \(3, 1\)\]"),
        (lambda values: [row * np.nan for row in values], "expected finite worths"),
        (lambda values: [np.append(row[:-1], np.inf) for row in values], "gave inf for the whole text"),
    ],
)
def test_wrong_worths_are_no_credit(change, message):
    with pytest.raises(AgentError, match=message):
        assign_credit(Broken(change), ["p0", "p1"], ["red", "blue"])


def test_credit_needs_no_torch():
    program = (
        "import sys, ospo_agents; ospo_agents.assign_credit; "
        "heavy = {'torch', 'transformers', 'trl', 'peft', 'gymnasium'}; print(sorted(heavy & set(sys.modules)))"
    )
    for extra, loaded in (("", "[]"), ("import gymnasium; ", "['gymnasium']")):  # the second is the negative control
        done = subprocess.run([sys.executable, "-c", extra + program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == loaded


def plans_made(source):
    """Calls of a method ``plan`` in a source file."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return sum(isinstance(function, ast.Attribute) and function.attr == "plan" for function in calls)


def test_games_are_planned_in_one_place():
    """Trainer, explanation, study and examples call ``assign_credit``; none has its own segments, plan and solve."""
    counts = {
        path.name: plans_made(path.read_text())
        for folder in ("agents", "scripts/ospo_cli", "examples")
        for path in (ROOT / folder).rglob("*.py")
        if path.parent.name not in ("_benchmark", "credit")  # which compare and combine solutions of one game
    }
    assert {name: count for name, count in counts.items() if count} == {"assignment.py": 1}
    for name in ("batches.py", "_explanation.py", "accuracy.py", "credit_any_text.py"):
        (path,) = (path for folder in ("agents", "scripts", "examples") for path in (ROOT / folder).rglob(name))
        assert "assign_credit(" in path.read_text()
    assert plans_made("solution.plan(3)\nplan(4)") == 1  # the negative control


class Capped(ArbitraryTask):
    """A task that reads the first characters of each text only."""

    def __init__(self, length):
        super().__init__()
        self.length = length

    def scored(self, prompt_ids, texts):
        return np.array([min(len(text), self.length) for text in texts])

    def coalition_values(self, prompt_ids, texts, spans, coalitions):
        counted = [[start < self.length for start, _ in tiles] for tiles in spans]
        kept = [np.where(mask, rows, True) for mask, rows in zip(counted, coalitions, strict=True)]
        return super().coalition_values(prompt_ids, texts, spans, kept)


def test_segments_that_do_not_count_are_free():
    text = TEXTS[2]
    tiles = phrases(text)
    length = tiles[2][0] + 1  # three of five segments, the third by a character
    (result,) = assign_credit(task := Capped(length), ["p2"], [text], solution="shapley")
    assert result.coalitions.shape == (2**3, 5)
    game = task.game("p2", text, tiles)
    inner = TableGame([game(np.array([[*row, True, True]]))[0] for row in all_coalitions(3).tolist()])
    np.testing.assert_allclose(result.credit, [*brute_force_shapley(inner, 3), 0, 0], rtol=0, atol=1e-12)
    assert result.credit.sum() == pytest.approx(result.worth - inner.worths[0])
    (whole,) = assign_credit(Capped(len(text)), ["p2"], [text], solution="shapley")  # the negative control
    assert whole.coalitions.shape == (2**5, 5)
    assert np.abs(whole.credit[3:]).min() > 1e-3


def test_segments_beyond_the_word_cap_cost_no_evaluation():
    task = gym.make("ospo_env:OSPO-ESCI-v0", retriever="bm25", max_words=4).unwrapped.task
    ids = task.prompts("train")[0][:1]
    text = ", ".join(["slide sandal", "womens", "suede", *["wool coat"] * 12])
    (result,) = assign_credit(task, ids, [text], solution="shapley")
    assert len(result.spans) == 15
    assert result.coalitions.shape == (2**3, 15)
    assert result.worth == task.rewards(ids, [text])[0]
    assert not result.credit[3:].any()


@pytest.mark.parametrize("solution", ["shapley", "sampled_owen", "permutation_shapley"])
def test_no_text_is_too_long_to_credit(solution):
    text = " ".join(["red", "coat"] * 2_500)
    with pytest.raises(BudgetError, match="5000 segments"):
        assign_credit(ToyTask(), ["p0"], [text], segmenter="words", solution=solution)
    (result,) = assign_credit(ToyTask(), ["p0"], [text], segmenter="words", solution=solution, over_budget="sample")
    assert (result.solution, result.credit.shape) == ("sampled_shapley", (5_000,))
    assert len(result.coalitions) <= 512
    assert result.credit.sum() == pytest.approx(result.worth, abs=1e-9)
    with pytest.raises(AgentError, match="unknown over_budget 'sampel'; did you mean 'sample'"):
        assign_credit(ToyTask(), ["p0"], ["red"], over_budget="sampel")
