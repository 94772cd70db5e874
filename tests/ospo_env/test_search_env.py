"""The environment in turns: its conversation, its reward by hand, its end, and N of them at once."""

import functools
import json
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import ospo_env
from ospo_env import RetrieverError, SearchEnv, SearchVectorEnv, TaskError, make_retriever
from ospo_env.retrievers.corpus import Corpus
from ospo_env.turns.actions import episode_searches, episode_text, read_action, search_action, turn_spans
from ospo_env.turns.agents import feedback_agent
from shop import shop

ACTIONS = ["search: red shoe", "answer", "black wool coat", "", "search: \ud83d 👟\u2028linen", "qzxv", "ANSWER "]
PRICE = 0.125


def make(**arguments):
    return SearchEnv(data=shop(), **{"max_words": 4, "max_turns": 3, "price": PRICE, **arguments})


def alone(env, text):
    """The metric of one search, from the task of one step."""
    return float(env.task.retrieval.rewards([env.prompt_id], [text])[0])


def test_an_episode_shows_titles_and_earns_the_best_metric_less_two_prices():
    env = make(shown=2)
    prompt, opening = env.reset(options={"query_id": "q00"})
    assert (opening["turns"], opening["episode"]) == (0, "")
    shown, reward, ended, truncated, info = env.step("search: red coat")
    titles = [shop().documents["title"][int(doc_id[1:])] for doc_id in info["ranking"][:2]]
    assert shown == f"{prompt}\nsearch: red coat\n1. {titles[0]}\n2. {titles[1]}"
    assert (reward, ended, truncated) == (0.0, False, False)
    assert info["best"] == info["metrics"]["nDCG@10"] == alone(env, "red coat") > 0
    shown_next, reward, ended, _, info = env.step("qzxv")
    assert shown_next == f"{shown}\nsearch: qzxv\nnothing found"
    assert (reward, ended, info["ranking"], info["best"]) == (0.0, False, (), alone(env, "red coat"))
    last, reward, ended, truncated, info = env.step("answer")
    assert (last, ended, truncated) == (shown_next, True, False)
    assert reward == alone(env, "red coat") - 2 * PRICE
    assert (info["turns"], info["episode"]) == (2, "red coat\nqzxv\n")
    assert "ranking" not in info


def test_nothing_found_is_said_of_an_empty_ranking_alone():
    env = make(shown=0)
    prompt, _ = env.reset(options={"query_id": "q00"})
    shown, *_, info = env.step("red coat")
    assert (shown, bool(info["ranking"])) == (f"{prompt}\nsearch: red coat", True)
    assert feedback_agent([shown]) == ["answer"], "there are no titles to repeat words"
    assert env.task.replies(["q00", "q00"], ["red coat", "qzxv"]) == ["", "nothing found\n"]
    shown, *_, info = env.step("qzxv")
    assert (shown.splitlines()[-1], info["ranking"]) == ("nothing found", ())


def test_the_best_is_kept_wherever_it_stands_and_the_last_turn_ends():
    env = make(price=0.0)
    env.reset(options={"query_id": "q04"})
    texts = ["wool", "blue coat", "qzxv"]
    values = [alone(env, text) for text in texts]
    assert values[1] > values[0] > values[2] == 0
    steps = [env.step(text) for text in texts]
    assert [one[1:3] for one in steps] == [(0.0, False), (0.0, False), (values[1], True)]
    with pytest.raises(ResetNeeded, match="the episode has ended"):
        env.step("answer")


def test_an_answer_at_once_earns_nothing_and_a_blank_search_costs():
    env = make()
    env.reset(seed=0)
    assert env.step("answer")[1:3] == (0.0, True)
    env.reset(seed=0)
    env.step("search:")
    assert env.step("answer")[1] == -PRICE
    assert env.task.lowest_reward == -3 * PRICE


def test_the_reward_of_one_turn_is_that_of_one_step_less_a_price():
    env, one_step = make(), gym.make("OSPO-Rewrite-v0", data=shop(), max_words=4)
    for text in ("red shoe", " black  wool coat, in six words now", ""):
        env.reset(seed=3)
        one_step.reset(seed=3)
        env.step(text)
        assert env.step("answer")[1] == one_step.step(text)[1] - PRICE


def test_the_task_values_what_the_steps_earned():
    env = make()
    for seed in range(6):
        env.reset(seed=seed)
        actions = iter(ACTIONS[seed:] + ACTIONS)
        ended = False
        while not ended:
            _, reward, ended, _, info = env.step(next(actions))
        assert env.task.rewards([env.prompt_id], [info["episode"]])[0] == reward
        best = [alone(env, search) for search in episode_searches(info["episode"])]
        assert env.task.metric_values([env.prompt_id], [info["episode"]])[0] == max(best, default=0.0)


def test_lines_beyond_the_last_turn_are_not_played():
    task = make().task
    texts = ["qzxv\nwool\nlinen\nred coat", "qzxv\nwool\nlinen", ""]
    rewards = task.rewards(["q00"] * 3, texts)
    assert rewards[0] == rewards[1] != task.rewards(["q00"], ["red coat"])[0] - 2 * PRICE
    assert rewards[2] == 0
    assert task.scored(["q00"] * 3, texts).tolist() == [len("qzxv\nwool\nlinen\n"), len("qzxv\nwool\nlinen"), 0]
    assert task.scored(["q00"], ["qzxv\na b c d e f"]).tolist() == [len("qzxv\na b c d")]
    assert task.rewards([], []).shape == (0,)


def test_actions():
    assert read_action("Search: red") == read_action(" search:red") == read_action("red") == "red"
    assert read_action("search:  red ") == " red "
    assert read_action("red\r\nshoe\u2028s\n") == "red  shoe s "
    assert read_action("\nAnswer\t") is None
    assert read_action("answer.") == "answer."
    for text in ("answer", "", " search: x", "a b"):
        assert read_action(search_action(text)) == text


@pytest.mark.parametrize("searches", [[], [""], ["a", "", "b"], ["a\r", "\u2028"]])
def test_the_text_of_an_episode_is_its_searches(searches):
    text = episode_text(searches)
    assert episode_searches(text) == searches
    assert "".join(text[start:end] for start, end in turn_spans(text)) == text


def test_neither_titles_nor_searches_write_lines():
    env = make(shown=1)
    env.reset(options={"query_id": "q00"})
    long = "red coat " * 60
    shown = env.step(f"search: x\x1b[2J\n2. {long}")[0]
    assert len(shown.splitlines()) <= 3
    assert len(shown.splitlines()[1]) == len("search: ") + 201
    assert "\x1b" not in shown


def test_all_data_sets_and_arguments():
    for arguments in ({}, {"sample": "fashion"}, {"data": shop()}, {"data": shop(), "retriever": "chargram"}):
        env = gym.make("OSPO-Search-v0", split="test", **arguments)
        prompt, _ = env.reset(seed=0)
        shown, reward, ended, truncated, info = env.step("red")
        lines = shown.removeprefix(f"{prompt}\nsearch: red\n").split("\n")
        ranked = info["ranking"]
        assert len(lines) == min(5, len(ranked)) if ranked else lines == ["nothing found"]
        assert (reward, ended, truncated, info["episode"]) == (0.0, False, False, "red\n")
    assert ospo_env.registration.SEARCH_ID == "OSPO-Search-v0"
    spec = gym.spec("OSPO-Search-v0")
    json.loads(spec.to_json())
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_numbers_of_numpy_are_numbers():
    env = make(max_turns=np.int64(2), shown=np.int32(1), price=np.float32(0.125))
    assert (env.task.max_turns, env.task.shown, env.task.price) == (2, 1, 0.125)
    assert {type(env.task.max_turns), type(env.task.shown), type(env.task.price)} == {int, float}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_turn": 2}, "max_turn.*did you mean 'max_turns'"),
        ({"metrik": "RR"}, "metrik.*did you mean 'metric'"),
        ({"max_turns": np.bool_(True)}, "expected max_turns as an integer"),
        ({"max_turns": 0}, r"expected max_turns as an integer in 1 \.\. 64; got 0"),
        ({"shown": 1.5}, r"expected shown as an integer in 0 \.\. 100; got 1.5"),
        ({"price": float("nan")}, r"expected price as a number in \[0, 1\]; got nan"),
        ({"render_mode": "human"}, "render mode"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(TaskError, match=message):
        make(**arguments)


def test_render_marks_relevant_documents_and_says_the_reward():
    env = make(render_mode="ansi", shown=1, price=0.25)
    env.reset(options={"query_id": "q00"})
    env.step("red coat and more words")
    value, ranked = alone(env, "red coat and more words"), len(env.step("red coat")[4]["ranking"])
    assert env.render().splitlines()[1:3] == [
        "search   red coat and more words  (1 words beyond the cap)",
        f"nDCG@10  {value:.4f}  ({ranked} documents ranked)",
    ]
    reward = env.step("answer")[1]
    assert env.render().splitlines()[-1] == f"reward   {reward:.4f}  (searches: 2)"
    assert "  1 * " in env.render()


def trajectory(envs, seed, steps=9):
    seen = [envs.reset(seed=seed)]
    for step in range(steps):
        actions = [ACTIONS[(step * 5 + index * 3) % len(ACTIONS)] for index in range(envs.num_envs)]
        seen.append(envs.step(actions))
    return seen


def reference(**arguments):
    return SyncVectorEnv([functools.partial(make, **arguments)] * 3, autoreset_mode=AutoresetMode.SAME_STEP)


def native(**arguments):
    return SearchVectorEnv(3, data=shop(), **{"max_words": 4, "max_turns": 3, "price": PRICE, **arguments})


def test_a_vector_equals_n_single_environments():
    one, other = trajectory(native(), 5), trajectory(reference(), 5)
    assert data_equivalence(one, other, exact=True)
    ended = np.array([seen[2] for seen in one[1:]])
    assert (ended.any(axis=1) & ~ended.all(axis=1)).any(), "some go on while others end"
    assert not data_equivalence(trajectory(native(), 5), trajectory(reference(), 6), exact=True)


def test_a_failing_retriever_leaves_the_episode_as_it_was():
    retriever = Counting()
    env = make(retriever=retriever)
    env.reset(options={"query_id": "q00"})
    env.step("red coat")
    retriever.broken = True
    with pytest.raises(RetrieverError, match="the index is gone"):
        env.step("wool")
    retriever.broken = False
    shown, reward, ended, _, info = env.step("answer")
    assert (ended, info["episode"]) == (True, "red coat\n")
    assert reward == alone(env, "red coat") - PRICE
    assert "\nsearch: wool" not in shown


def test_some_of_a_vector_start_anew():
    envs = native()
    before, _ = envs.reset(seed=[4, 5, 6])
    shown, *_ = envs.step(["red", "wool", "linen"])
    mask = np.array([True, False, True])
    after, infos = envs.reset(seed=[4, None, 6], options={"reset_mask": mask})
    assert [after[0], after[2]] == [before[0], before[2]], "the same seed draws the same prompt"
    assert after[1] == shown[1] != before[1]
    assert infos["episode"][[0, 2]].tolist() == ["", ""]
    *_, infos = envs.step(["answer"] * 3)
    assert infos["final_info"]["episode"].tolist() == ["", "wool\n", ""]


def test_make_vec_makes_the_native_one():
    envs = gym.make_vec("OSPO-Search-v0", num_envs=2, data=shop())
    assert isinstance(envs, SearchVectorEnv)
    assert (envs.num_envs, envs.metadata["autoreset_mode"]) == (2, AutoresetMode.SAME_STEP)


class Counting:
    """A retriever that counts the texts of its calls, and fails when told to."""

    linear = False

    def __init__(self):
        self._inner = make_retriever("bm25", Corpus.of_texts(shop().documents["text"].to_list()))
        self.batches = []
        self.broken = False

    def score_pools(self, texts, pools):
        self.batches.append(len(texts))
        if self.broken:
            raise OSError("the index is gone")
        return self._inner.score_pools(texts, pools)

    def __getattr__(self, name):
        return getattr(self._inner, name)


def test_one_retriever_call_a_step_and_failure_is_no_reward():
    retriever = Counting()
    envs = native(retriever=retriever)
    envs.reset(seed=0)
    envs.step(["red shoe", "answer", "search: wool"])
    assert retriever.batches == [2], "an answer asks nothing"
    retriever.broken = True
    with pytest.raises(RetrieverError, match="the index is gone"):
        envs.step(["linen", "linen", "linen"])
    retriever.broken = False
    _, rewards, ended, _, infos = envs.step(["answer", "answer", "answer"])
    assert ended.all()
    assert infos["final_info"]["episode"].tolist() == ["red shoe\n", "", "wool\n"]
    assert rewards[1] == 0
