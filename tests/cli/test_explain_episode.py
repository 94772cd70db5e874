"""An episode in turns explained: credit of each phrase of each search, from a file or by a scripted agent."""

import json

import numpy as np
import pytest

from ospo_agents import AgentError, assign_credit
from ospo_cli import explain as program
from ospo_cli._episode import explain_episode
from ospo_cli._tasks import open_task
from ospo_env import RetrievalTask, SearchTask, TaskError
from shop import shop

EPISODE = "red coat, wool\n\nblue shoe for rain\nlinen\n"
QUERY = ["--query-id", "shopping-q00534"]


def test_credit_is_that_of_the_library_and_sums_to_the_reward():
    task = SearchTask(RetrievalTask(shop()), max_turns=3)
    explanation = explain_episode(task, "q00", EPISODE)
    (credited,) = assign_credit(task, ["q00"], [EPISODE])
    segments = [segment for turn in explanation.turns for segment in turn.segments]
    np.testing.assert_array_equal([segment.credit for segment in segments], credited.credit[: credited.players])
    assert explanation.efficient
    assert explanation.reward == credited.worth == explanation.best - 3 * task.price
    assert (explanation.solution, explanation.unplayed) == ("owen", 1)
    assert [turn.search for turn in explanation.turns] == ["red coat, wool", "", "blue shoe for rain"]
    assert [turn.total for turn in explanation.turns][1] == pytest.approx(-task.price)
    wrong = explain_episode(task, "q00", EPISODE, solution="leave_one_out")
    assert not wrong.efficient, "the negative control"


def test_the_page_and_its_json(tmp_path, capsys):
    path = tmp_path / "episode.txt"
    path.write_text("slide sandal, womens\nsuede shearling, \x1b[2Jwinter\n")
    program.main([*QUERY, "--episode", str(path), "--price", "0.05", "--env", "OSPO-Search-v0"])
    shown = capsys.readouterr().out
    assert "less 2 x 0.05 for searches" in shown
    assert "credit    owen of 4 phrases in turns" in shown
    assert "\x1b" not in shown
    assert shown.rstrip().endswith("the sum, which is the reward")
    program.main([*QUERY, "--episode", str(path), "--price", "0.05", "--json", "-"])
    content = json.loads(capsys.readouterr().out)
    assert content["total"] == pytest.approx(content["reward"])
    assert sum(len(turn["segments"]) for turn in content["turns"]) == 4
    program.main([*QUERY, "--agent", "feedback", "--color", "always", "--json", str(tmp_path / "out.json")])
    assert "\x1b[38;2" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["agent"] == "feedback"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--episode", "x", "--agent", "query"], "give one of them"),
        (["--episode", "x", "--text", "red"], "leave --text out"),
        (["--agent", "query", "--sort", "helps"], "has no use for --sort; leave it out"),
        (["--agent", "query", "--minimum-queries", "9"], "has no use for --minimum-queries; leave it out"),
        (["--episode", "x", "--shown", "3"], "has no use for --shown; leave it out"),
        (["--text", "red", "--price", "0.1"], "--max-turns and --price are for an episode in turns"),
    ],
)
def test_options_that_do_not_go_together(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main([*QUERY, *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_explained(tmp_path):
    with pytest.raises(AgentError, match="expected a text file with an action a line; No such file"):
        program.main([*QUERY, "--episode", str(tmp_path / "none")])
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(AgentError, match="expected at most 1,000,000 bytes"):
        program.main([*QUERY, "--episode", "/dev/zero"])
    (tmp_path / "more").write_text("red\nanswer\n\ncoat\n")
    with pytest.raises(AgentError, match="line 2 is the answer, which ends the episode, but actions follow"):
        program.main([*QUERY, "--episode", str(tmp_path / "more")])
    with pytest.raises(AgentError, match="it is not UTF-8"):
        program.main([*QUERY, "--episode", str(tmp_path / "bytes")])
    with pytest.raises(AgentError, match="expected the id of a query"):
        program.main(["--agent", "query"])
    with pytest.raises(TaskError, match="one step an episode, such as OSPO-ESCI-v0; OSPO-Search-v0 is in turns"):
        open_task("OSPO-Search-v0", None, split="test", retriever="bm25", metric="RR")
    with pytest.raises(TaskError, match=r"price as a number in \[0, 1\]; got 2"):
        program.main([*QUERY, "--agent", "query", "--price", "2"])


def explained(path, capsys, *options):
    program.main([*QUERY, "--episode", str(path), "--json", "-", *options])
    return json.loads(capsys.readouterr().out)


def test_lines_of_a_file_are_actions(tmp_path, capsys):
    path = tmp_path / "episode.txt"
    path.write_bytes("\ufeffsearch: slide\u2028sandal\r\nSearch: answer\r\n\r\n answer\n\n".encode())
    content = explained(path, capsys)
    assert content["episode"] == "slide sandal\nanswer\n\n"
    assert content["reward"] == pytest.approx(content["best"] - 3 * 0.02)
    path.write_text("slide sandal\nanswer\n")
    assert explained(path, capsys)["reward"] == pytest.approx(content["best"] - 0.02), "an answer costs nothing"


@pytest.mark.parametrize("text", ["", "answer", "ANSWER\n\n"])
def test_an_episode_without_a_search(tmp_path, capsys, text):
    path = tmp_path / "episode.txt"
    path.write_text(text)
    content = explained(path, capsys)
    assert (content["turns"], content["reward"], content["total"], content["players"]) == ([], 0, 0, 0)
    program.main([*QUERY, "--episode", str(path)])
    assert "credit    owen of 0 phrases in turns" in capsys.readouterr().out


def test_phrases_beyond_the_cap_are_no_players_and_top_says_how_many_titles(tmp_path, capsys):
    path = tmp_path / "episode.txt"
    path.write_text("slide, sandal, suede\n")
    content = explained(path, capsys, "--max-words", "1", "--top", "2")
    assert (content["players"], content["coalitions"], len(content["turns"][0]["segments"])) == (1, 2, 3)
    assert len(content["turns"][0]["titles"]) == 2
    program.main([*QUERY, "--episode", str(path), "--max-words", "1", "--max-turns", "1", "--top", "7"])
    shown = capsys.readouterr().out
    assert "credit    owen of 1 phrases in turns, from 2 coalitions" in shown
    assert "    7. " in shown
