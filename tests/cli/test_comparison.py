"""Two solutions of the game side by side: ``ospo explain --compare``."""

import json
import re

import numpy as np
import pytest

from credit_games import brute_force_owen, brute_force_shapley, tabulated
from ospo_agents import AgentError
from ospo_agents.segments import phrases, unions, words
from ospo_cli import explain as program
from ospo_cli._comparison import compare
from shop import task

TEXTS = ["red wool, coat for the beach", "", "coat", "red, wool, coat"]
ALL = ["q00"] * len(TEXTS)


def right_values(on, text):
    tiles = words(text)
    game = tabulated(lambda rows: on.coalition_values(["q00"], [text], [tiles], [rows])[0], len(tiles))
    return brute_force_shapley(game, len(tiles)), brute_force_owen(game, unions(tiles, phrases(text)))


def test_both_values_are_those_of_brute_force():
    on = task()
    comparison = compare(on, ALL, TEXTS, ("shapley", "owen"))
    assert (comparison.segmenter, comparison.empty, len(comparison.rows)) == ("words-in-phrases", 1, 3)
    first, single, flat = comparison.rows
    shapley, owen = right_values(on, TEXTS[0])
    np.testing.assert_allclose(first.first.credit, shapley, rtol=0, atol=1e-12)
    np.testing.assert_allclose(first.second.credit, owen, rtol=0, atol=1e-12)
    assert first.difference == pytest.approx(np.abs(shapley - owen).mean(), abs=1e-12)
    assert first.difference > 1e-3, "they differ in this game"
    assert [row.first.unions_matter for row in comparison.rows] == [True, False, False]
    assert single.difference == pytest.approx(0, abs=1e-12) == flat.difference
    assert single.correlation is None


def test_the_summary_by_hand():
    on = task()
    comparison = compare(on, ALL, TEXTS, ("shapley", "owen"))
    summary = comparison.summary()
    first = comparison.rows[0]
    assert (summary["rewrites"], summary["empty"], summary["estimated"]) == (3, 1, 0)
    assert summary["unions_matter"] == summary["differs"] == pytest.approx(1 / 3)
    assert summary["mean_absolute_difference"] == pytest.approx(first.difference / 3)
    assert summary["mean_absolute_difference_where_unions_matter"] == pytest.approx(first.difference)
    tops = [int(text.credit.argmax()) for text in (first.first, first.second)]
    assert summary["other_top_segment"] == pytest.approx((tops[0] != tops[1]) / 3)
    ranks = [np.argsort(np.argsort(text.credit.round(9))) for text in (first.first, first.second)]
    if all(len(set(text.credit.round(9))) == len(text.credit) for text in (first.first, first.second)):
        assert first.correlation == pytest.approx(np.corrcoef(*ranks)[0, 1])
    same = compare(on, ALL, TEXTS, ("owen", "owen")).summary()  # the negative control
    assert (same["differs"], same["mean_absolute_difference"], same["other_top_segment"]) == (0, 0, 0)
    assert same["rank_correlation"] == pytest.approx(1)


def test_a_text_beyond_every_budget_is_compared_too():
    text = ", ".join(["red wool coat"] * 20)
    (row,) = compare(task(max_words=60), ["q00"], [text], ("shapley", "owen")).rows
    assert (row.first.solution, row.second.solution) == ("sampled_shapley", "sampled_owen")
    assert compare(task(max_words=60), ["q00"], [text], ("shapley", "owen")).summary()["estimated"] == 1


def printed(capsys, *arguments):
    program.main([*arguments])
    return capsys.readouterr().out


def test_the_command_on_a_policy(capsys, tmp_path):
    asked = ["--policy", "oracle", "--compare", "shapley", "owen", "--queries", "12", "--shown", "1"]
    out = printed(capsys, *asked, "--json", str(tmp_path / "x.json"))
    written = json.loads((tmp_path / "x.json").read_text())
    assert json.loads(printed(capsys, *asked, "--json", "-")) == written
    summary, rewrites = written["summary"], written["rewrites"]
    assert (summary["rewrites"], len(rewrites), written["segmenter"]) == (12, 12, "words-in-phrases")
    means = [np.mean([abs(np.subtract(*segment["credit"])) for segment in row["segments"]]) for row in rewrites]
    assert summary["mean_absolute_difference"] == pytest.approx(np.mean(means))
    assert summary["mean_absolute_difference"] > 1e-4
    assert 0 < summary["rank_correlation"] < 1
    widest = rewrites[int(np.argmax(means))]
    assert f"{widest['prompt_id']}: {widest['text']}" in out
    assert re.findall(r"^ +([+-]\d\.\d{3}) +([+-]\d\.\d{3})  (.+)$", out, re.M) == [
        (*(f"{value:+.3f}" for value in segment["credit"]), segment["text"].strip()) for segment in widest["segments"]
    ]
    assert f"Mean absolute difference              {summary['mean_absolute_difference']:.4f}" in out
    assert "equals the Shapley value in all" not in out


def test_one_union_is_said_to_equal_shapley(capsys):
    asked = ["--query-id", "shopping-q00534", "--text", "slide sandal", "--compare", "shapley", "owen"]
    assert "the Owen value equals the Shapley value in all of them" in printed(capsys, *asked)
    asked = ["--query-id", "shopping-q00534", "--text"]
    one = printed(capsys, *asked, "slide sandal", "--solution", "owen")
    assert "credit    owen of 2 words in phrases, from all 4 coalitions; its unions make no difference here, so" in one
    two = printed(capsys, *asked, "slide sandal, red wool", "--solution", "owen")
    assert "owen of 4 words in phrases, from 12 of 16 coalitions\n" in two
    assert "equals the Shapley value" in printed(
        capsys, *asked, "slide sandal, red", "--solution", "owen", "--segmenter", "words"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --text, the rewrite to explain, or --compare"),
        (["--split", "test"], "expected --text, the rewrite to explain, or --compare"),
        (["--compare", "shapley", "owen"], "give one of them"),
        (["--compare", "shapley", "owen", "--policy", "oracle", "--text", "x"], "give one of them"),
        (["--compare", "shapley", "owen", "--text", "x", "--solution", "owen"], "leave --solution out"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, capsys):
    with pytest.raises(SystemExit):
        program.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compare", "shapley", "own", "--policy", "oracle"], "unknown solution 'own'; did you mean 'owen'"),
        (["--compare", "shapley", "owen", "--policy", "oracel"], "did you mean 'oracle'"),
        (["--compare", "shapley", "owen", "--text", "x"], "--query-id: expected the id of a query"),
        (["--compare", "shapley", "owen", "--policy", "oracle", "--queries", "0"], "--queries: expected at least 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(AgentError, match=message):
        program.main(arguments)
