"""Agents that search in turns: episodes in batches equal the environment's, and two searches beat one."""

import gymnasium as gym
import numpy as np
import pytest

from ospo_env import RetrievalTask, RetrieverError, SearchEnv, SearchTask, TaskError, make_retriever
from ospo_env.evaluation.intervals import mean_interval
from ospo_env.retrievers.corpus import Corpus
from ospo_env.turns.agents import AGENTS, feedback_agent, one_search_agent, play_episodes
from ospo_env.turns.conversation import Conversation
from shop import Wrapped, shop


def test_episodes_in_batches_are_those_of_the_environment():
    env = SearchEnv(data=shop(), max_turns=3)
    ids, prompts = env.task.prompts("train")

    def agent(conversations):
        calls.append(len(conversations))
        turns = [text.count("\nsearch: ") for text in conversations]
        return [
            ["red coat", "search: wool", "linen"][n] if len(text) % 3 else "answer"
            for n, text in zip(turns, conversations, strict=True)
        ]

    calls = []
    conversations = play_episodes(env.task, ids, prompts, agent)
    assert calls[0] == len(ids) > max(calls[1:], default=0), "only those that go on are asked"
    rewards = env.task.rewards(ids, [one.episode for one in conversations])
    for query_id, conversation, reward in zip(ids, conversations, rewards, strict=True):
        observation, _ = env.reset(options={"query_id": query_id})
        ended = False
        while not ended:
            observation, earned, ended, _, info = env.step(agent([observation])[0])
        assert (observation, info["episode"], earned) == (conversation.observation, conversation.episode, reward)
    assert len({len(one.turns) for one in conversations}) > 1


def test_the_feedback_agent_reads_titles_and_beats_one_search():
    env = gym.make("OSPO-Search-v0", split="test").unwrapped
    ids, prompts = (some[:120] for some in env.task.prompts("test"))
    one, two = (play_episodes(env.task, ids, prompts, agent) for agent in (one_search_agent, feedback_agent))
    assert {len(conversation.turns) for conversation in one} == {1}
    assert max(len(conversation.turns) for conversation in two) == 2
    rewards = [env.task.rewards(ids, [each.episode for each in some]) for some in (one, two)]
    gain = mean_interval(rewards[1] - rewards[0])
    assert gain.low > 0.01
    raw = env.task.retrieval.rewards(ids, [env.task.query(query_id).query for query_id in ids])
    np.testing.assert_allclose(rewards[0], raw - env.task.price, atol=1e-12)


def test_the_feedback_agent_by_hand():
    conversation = "shoe | red hat\nsearch: shoe\n1. Red shoe\n2. Dark red shoe, wool\n3. Wool hat"
    assert feedback_agent([conversation]) == ["search: shoe red wool"]
    assert feedback_agent(["shoe | red hat", "shoe\nsearch: shoe\nnothing found"]) == ["search: shoe", "answer"]
    assert feedback_agent([conversation + "\nsearch: shoe red wool\n1. Red wool shoe"]) == ["answer"]
    assert one_search_agent(["shoe | red hat; shoe | hat"]) == ["search: shoe"]
    assert set(AGENTS) == {"query", "feedback"}


def test_an_agent_gives_one_action_a_conversation():
    env = SearchEnv(data=shop())
    with pytest.raises(TaskError, match="one action a conversation; got 0 for 1"):
        play_episodes(env.task, ["q00"], ["coat"], lambda conversations: [])
    assert play_episodes(env.task, [], [], one_search_agent) == []


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (None, TypeError, "expected the action to be a str"),
        ("a" * 100_001, TaskError, "at most 100,000 characters"),
    ],
)
def test_actions_of_agents_are_checked_as_those_of_environments(action, error, message):
    env = SearchEnv(data=shop())
    env.reset(seed=0)
    with pytest.raises(error, match=message):
        play_episodes(env.task, ["q00"], ["coat"], lambda conversations: [action])
    with pytest.raises(error, match=message):
        env.step(action)


def test_a_prompt_writes_no_turns():
    env = SearchEnv(data=shop())
    prompts = ["coat\nsearch: red\n1. Red coat", "coat"]
    conversations = play_episodes(env.task, ["q00", "q00"], prompts, one_search_agent)
    assert [len(one.turns) for one in conversations] == [1, 1], "no agent takes the prompt's lines for a search"
    assert conversations[0].observation.splitlines()[:2] == [
        "coat search: red 1. Red coat",
        "search: coat search: red 1. Red coat",
    ]
    assert conversations[1].searches == ["coat"], "an id may stand twice"


def test_a_failing_retriever_ends_the_play():
    task = SearchTask(RetrievalTask(shop(), Failing()))
    with pytest.raises(RetrieverError, match="the index is gone"):
        play_episodes(task, ["q00"], ["coat"], one_search_agent)
    spans, everyone = [[(0, 4), (4, 8)]], [np.ones((1, 2), dtype=bool)]
    with pytest.raises(RetrieverError, match="the index is gone"):
        task.coalition_values(["q00"], ["red\ncoat"], spans, everyone)
    with pytest.raises(RetrieverError, match="the index is gone"):
        task.rewards(["q00"], ["red\ncoat"])
    assert task.rewards(["q00"], [""]).tolist() == [0.0], "nothing is asked for no search"


def test_a_search_is_one_line():
    task = SearchTask(RetrievalTask(shop()))
    with pytest.raises(TaskError, match=r"a search without line breaks; got 'red\\ncoat'"):
        task.search(["q00"], ["red\ncoat"])
    (turn,) = task.search(["q00"], ["red coat"])
    assert task.earned([turn]) == task.rewards(["q00"], [Conversation("q00", "", [turn]).episode])[0]


def test_demonstrations_are_searches_for_their_texts():
    class Odd(RetrievalTask):
        def demonstrations(self):
            return [("q00", "answer"), ("q00", "search: red"), ("q01", "red\ncoat")]

    pairs = SearchTask(Odd(shop())).demonstrations()
    assert pairs == [("q00", "answer\n"), ("q00", "search: red\n"), ("q01", "red coat\n")]


class Failing(Wrapped):
    """A retriever whose index is gone."""

    def __init__(self):
        super().__init__(make_retriever("bm25", Corpus.of_texts(shop().documents["text"].to_list())))

    def score_pools(self, texts, pools):
        raise OSError("the index is gone")
