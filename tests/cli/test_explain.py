"""A rewrite explained: its credit, its rankings, and how explain.py shows them."""

import dataclasses
import io
import json
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given

from chat_models import chat_directory
from envs_data.writing import write_prepared
from ospo_agents import AgentError
from ospo_agents.credit import shapley_values
from ospo_agents.policies.language_model import LanguageModelPolicy
from ospo_agents.segments import phrases, words
from ospo_cli import explain as program
from ospo_cli._explanation import credit_colour, explain
from ospo_env import TaskError
from shop import SETTINGS, TEXTS, Wrapped, shop, task

TEXT = "red wool, coat for the beach"
COMMAND = ["--query-id", "shopping-q00534", "--text", "slide sandal, womens, suede shearling"]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@SETTINGS
@given(TEXTS)
def test_credit_sums_to_the_reward(text):
    on = task()
    found = explain(on, "q00", text)
    assert "".join(segment.text for segment in found.segments) == found.text
    assert found.worth == on.rewards(["q00"], [text])[0]
    np.testing.assert_allclose(found.total, found.worth, rtol=0, atol=1e-9)
    assert found.efficient


def test_a_sum_that_is_not_the_worth_is_said():
    """The negative control: a solution that shares out something else, and credit that was tampered with."""
    found = explain(task(), "q00", TEXT, segmenter="words", solution="leave_one_out")
    assert abs(found.total - found.worth) > 0.01
    assert not found.efficient
    assert "does not divide up" in found.sum_in_words
    right = explain(task(), "q00", TEXT, segmenter="words")
    first, *others = right.segments
    wrong = dataclasses.replace(right, segments=(dataclasses.replace(first, credit=first.credit + 1e-6), *others))
    assert (right.efficient, wrong.efficient) == (True, False)


def test_estimated_worths_are_said():
    on = task(Wrapped(task("lsa").retriever, linear=False))
    few = explain(on, "q00", TEXT, segmenter="words", calls=8)
    assert few.calls == 8
    assert few.method.endswith("coalitions, worths beyond 8 scored texts estimated")
    assert few.efficient
    for enough in (explain(on, "q00", TEXT, segmenter="words"), explain(task(), "q00", TEXT, calls=1)):
        assert enough.calls is None
        assert "estimated" not in enough.method


def test_credit_is_that_of_the_library():
    on = task()
    tiles = words(TEXT)
    values = shapley_values(lambda rows: on.coalition_values(["q00"], [TEXT], [tiles], [rows])[0], len(tiles))
    found = explain(on, "q00", TEXT, segmenter="words")
    np.testing.assert_allclose([segment.credit for segment in found.segments], values, rtol=0, atol=1e-12)
    assert [(segment.start, segment.end) for segment in found.segments] == tiles
    assert (found.solution, found.coalitions) == ("shapley", 2 ** len(tiles))
    assert all(segment.error is None for segment in found.segments)


def test_estimates_are_said_and_come_with_errors():
    many = ", ".join("red wool coat blue linen dress black bag leather shoe cotton red wool".split())
    found = explain(task(), "q00", many)
    assert len(found.segments) == len(phrases(many)) == 13
    assert found.solution == "sampled_shapley"
    assert "sampled_shapley of 13 phrases, from " in found.method
    assert "of 8,192 coalitions" in found.method
    assert max(segment.error for segment in found.segments) > 0
    exact = explain(task(), "q00", many, solution="shapley")
    assert exact.coalitions == 8192
    np.testing.assert_allclose(
        [segment.credit for segment in found.segments], [segment.credit for segment in exact.segments], atol=0.1
    )
    assert explain(task(), "q00", many) == found
    assert explain(task(max_words=16), "q00", " ".join(["red,"] * 17), solution="shapley").coalitions == 2**16
    with pytest.raises(AgentError, match="use the solution 'sampled_shapley'"):
        explain(task(max_words=17), "q00", " ".join(["red,"] * 17), solution="shapley")


def test_rankings_before_and_after():
    on = task()
    found = explain(on, "q00", "red coat", top=5)
    before, after = on.rankings(["q00", "q00"], ["coat please", "red coat"])
    for rows, ranking, other in ((found.before, before, after), (found.after, after, before)):
        assert [row.doc_id for row in rows] == list(ranking[:5])
        assert [row.rank for row in rows] == [1, 2, 3, 4, 5]
        assert [row.other_rank for row in rows] == [
            other.index(row.doc_id) + 1 if row.doc_id in other else None for row in rows
        ]
    assert (found.query_ranked, found.ranked) == (len(before), len(after))
    assert found.relevant == shop().qrels.filter(query_id="q00", gain=1.0).height
    gains = {doc_id: gain for _, doc_id, gain in on.judgements(["q00"])}
    assert [row.gain for row in found.after] == [gains.get(row.doc_id, 0.0) for row in found.after]
    assert found.after[0].mark == "*"
    assert (found.query, found.prompt) == ("coat please", "coat please | red wool bag; linen dress")
    assert found.gain == found.worth - found.query_worth > 0


def test_colours_tell_signs_apart():
    red, _, blue = credit_colour(0.5, 1.0)
    assert blue > red
    red, _, blue = credit_colour(-0.5, 1.0)
    assert red > blue
    assert credit_colour(0.3, 0.0) == credit_colour(0.0, 1.0)
    assert all(0 <= part <= 255 for credit in (-9, -1, 0, 1, 9) for part in credit_colour(credit, 1.0))


# The program


def printed(capsys, *arguments):
    program.main([*COMMAND, *arguments])
    return capsys.readouterr().out


def test_json_holds_what_is_printed(capsys, tmp_path):
    out = printed(capsys, "--json", str(tmp_path / "x.json"))
    written = json.loads((tmp_path / "x.json").read_text())
    assert json.loads(printed(capsys, "--json", "-")) == written
    assert re.findall(r"^  ([+-]\d\.\d{3})  (.+)$", out, re.M) == [
        *((f"{segment['credit']:+.3f}", segment["text"].strip()) for segment in written["segments"]),
        (f"{written['total']:+.3f}", "the sum, which is the worth"),
    ]
    line = (
        f"nDCG@10   {written['worth']:.3f}, the raw query's {written['query_worth']:.3f}, gain {written['gain']:+.3f}"
    )
    assert line in out.splitlines()
    for row in written["before"] + written["after"]:
        assert f"{row['title']} [{row['doc_id']}]" in out
    assert written["efficient"] is True
    assert written["synthetic"] is True


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("choice", "no_color", "terminal", "expected"),
    [
        ("auto", "", True, True),
        ("auto", "", False, False),
        ("auto", "1", True, False),
        ("never", "", True, False),
        ("always", "1", False, True),
    ],
)
def test_colours_where_they_are_wanted(monkeypatch, choice, no_color, terminal, expected):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    program.main([*COMMAND, "--color", choice])
    assert bool(COLOUR.search(stream.getvalue())) == expected


def test_colours_only_repeat_what_the_text_says(capsys):
    plain, coloured = (printed(capsys, "--color", choice) for choice in ("never", "always"))
    assert COLOUR.sub("", coloured) == plain
    assert coloured != plain


def test_text_gives_the_terminal_no_commands(capsys):
    program.main(["--query-id", "shopping-q00534", "--text", "red\x1b[2J, \u202eblue \ud83d", "--color", "never"])
    out = capsys.readouterr().out
    assert "\ufffd[2J" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "x"], r"--query-id: expected .* 300, such as shopping-q\d+ \("),
        (["--text", "x", "--query-id", "shopping-q534"], "unknown prompt id .* did you mean 'shopping-q"),
        ([*COMMAND, "--segmenter", "phrase"], "did you mean 'phrases'"),
        ([*COMMAND, "--solution", "shaply"], "did you mean 'shapley'"),
        ([*COMMAND, "--retriever", "bm52"], "did you mean 'bm25'"),
        ([*COMMAND, "--top", "0"], "--top: expected at least 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises((AgentError, TaskError), match=message):
        program.main(arguments)


def test_the_word_cap_is_the_users(capsys):
    whole = printed(capsys, *COMMAND)
    cut = printed(capsys, *COMMAND, "--max-words", "2")
    assert "(3 words beyond the cap)" in cut
    assert "beyond the cap" not in whole


def test_data_without_a_test_split(capsys, tmp_path):
    data = shop()
    queries = data.queries.with_columns(split=pl.lit("train"))
    tables = {"queries": queries, "pools": data.pools, "qrels": data.qrels, "demonstrations": data.demonstrations}
    write_prepared(
        tmp_path / "data",
        {"documents": data.documents, **tables},
        dataset="mine", synthetic=True, arguments={}, sources={}, counts={},
    )  # fmt: skip
    asked = ["--env", "OSPO-Rewrite-v0", "--data", str(tmp_path / "data"), "--text", TEXT]
    assert "credit    shapley" in printed(capsys, *asked, "--query-id", "q00")
    with pytest.raises(AgentError, match="the train split has"):
        program.main(asked)


def test_a_policy_writes_the_rewrite_of_a_free_query_and_of_a_query_of_the_data(tmp_path, capsys):
    policy = chat_directory(tmp_path / "model")
    command = ["--policy", str(policy), "--compose", "append", "--json", "-"]
    free, own = "something for the rain", "shopping-q00534"
    program.main([*command, "--query", free])
    shown = [json.loads(capsys.readouterr().out)]
    program.main([*command, "--query-id", own])
    shown.append(json.loads(capsys.readouterr().out))
    assert shown[0]["query"] == shown[0]["prompt"] == free
    expected = LanguageModelPolicy.open(policy)(["", ""], [free, shown[1]["prompt"]])
    assert [one["text"] for one in shown] == expected
    assert shown[0]["worth"] == 1.0
    assert shown[1]["prompt_id"] == own


def test_a_text_and_a_policy_are_one_too_many(capsys):
    with pytest.raises(SystemExit):
        program.parse(["--policy", "oracle", "--text", "red", "--query", "red"])
    assert "or the --policy that writes the rewrite" in capsys.readouterr().err
