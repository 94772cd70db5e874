"""Rollouts in turns: episodes of a policy as TRL's rollout function plays them, and their credit in the trainer."""

import numpy as np
import pytest
import torch

from ospo_agents import AgentError, assign_credit
from ospo_agents.policies.generation import Completion, generation_settings
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.policies.turns import line_breaks, write_turns
from ospo_agents.protocols import ReplyTask
from ospo_agents.trainer import OSPOConfig, OSPOTrainer
from ospo_agents.turn_rollouts import TurnRollouts
from ospo_env import RetrievalTask, SearchTask
from shop import shop
from toy_task import ToyTask

SCRIPTS = [
    ["red coat, wool\n", "black shoe\n", "never read"],  # both turns
    ["qzxv, linen\n", ""],  # an answer after one
    ["red coat", "never read"],  # the end token behind a search answers
    [""],  # an answer at once
]
"""Lines that a policy writes in four episodes; what has no line break ends with the end token."""


@pytest.fixture(scope="module")
def task():
    return SearchTask(RetrievalTask(shop()), max_turns=2, price=0.125, shown=2)


@pytest.fixture(scope="module")
def tokenizer(task):
    return tiny_tokenizer(task.texts(), vocab_size=400)


def scripted(tokenizer, queues, asked):
    """In the place of generation: the next line of each episode that goes on, in order."""

    def complete(model, given, contexts, settings):
        rows = [row for row, queue in enumerate(queues) if queue and queue[0] != "never read"]
        assert len(rows) >= len(contexts)
        asked.append([given.decode(context) for context in contexts])
        written = []
        for row in rows[: len(contexts)]:
            line = queues[row].pop(0)
            body = given.encode(line.removesuffix("\n"), add_special_tokens=False)
            end = given.encode("\n")[0] if line.endswith("\n") else given.eos_token_id
            assert end in settings["eos_token_id"]
            written.append(Completion(body, True, end))
            if not line.endswith("\n"):
                queues[row].clear()
        return written

    return complete


def test_an_episode_is_one_completion_with_the_replies_marked(task, tokenizer, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "ospo_agents.policies.turns.complete", scripted(tokenizer, [list(one) for one in SCRIPTS], asked)
    )
    settings = {"eos_token_id": [tokenizer.eos_token_id], "max_new_tokens": 8}
    contexts = [tokenizer.encode("coat please")] * 4
    episodes = write_turns(
        None,
        tokenizer,
        contexts,
        lambda rows, turns: task.replies(["q00"] * len(rows), turns),
        max_turns=2,
        settings=settings,
    )
    own = [tokenizer.decode(one.own, skip_special_tokens=True) for one in episodes]
    assert own == ["red coat, wool\nblack shoe\n", "qzxv, linen\n", "red coat", ""]
    assert [one.turns for one in episodes] == [2, 1, 1, 0]
    replies = [
        tokenizer.decode([t for t, own in zip(one.token_ids, one.generated, strict=True) if not own])
        for one in episodes
    ]
    assert replies == [*task.replies(["q00", "q00"], ["red coat, wool", "qzxv, linen"]), "", ""]
    assert [len(batch) for batch in asked] == [4, 2], "those that go on read their replies"
    assert asked[1][0] == "coat pleasered coat, wool\n" + replies[0]


def test_a_line_at_the_bound_ends_the_episode(task, tokenizer, monkeypatch):
    cut = Completion(tokenizer.encode("red coat"), False)
    monkeypatch.setattr("ospo_agents.policies.turns.complete", lambda *arguments: [cut])
    settings = {"eos_token_id": [tokenizer.eos_token_id]}
    (episode,) = write_turns(None, tokenizer, [[5]], lambda rows, turns: 1 / 0, max_turns=2, settings=settings)
    assert (episode.own, episode.turns) == (cut.token_ids, 1)


def test_a_model_plays(task, tokenizer):
    model = tiny_model(tokenizer, hidden_size=32, layers=1)
    settings = generation_settings(model, tokenizer, max_new_tokens=6, temperature=1.0)
    contexts = [tokenizer.encode(f"coat {number}") for number in range(6)]
    episodes = write_turns(
        model, tokenizer, contexts, lambda rows, turns: ["1. x\n"] * len(rows), max_turns=3, settings=settings
    )
    assert all(0 < sum(one.generated) <= 3 * 6 for one in episodes)
    assert all(len(one.generated) == len(one.token_ids) for one in episodes)
    assert line_breaks(tokenizer) == (tokenizer.encode("\n")[0], ())


@pytest.mark.parametrize("seed", range(4))
def test_the_text_of_an_episode_is_the_one_that_was_played(task, seed):
    """The tokenizer has tokens with two line breaks, with blanks behind one, and with a letter before one."""
    tokenizer = tiny_tokenizer(["red coat\n\nblue\n   shoe;\n\n\n black\n \nx"] * 400, vocab_size=330)
    plain, others = line_breaks(tokenizer)
    assert tokenizer.decode([plain]) == "\n"
    assert {tokenizer.decode([token]) for token in others} >= {"\n\n"}
    model = tiny_model(tokenizer, hidden_size=32, layers=1)
    asked = {row: [] for row in range(32)}

    def reply(rows, turns):
        for row, turn in zip(rows, turns, strict=True):
            asked[row].append(turn)
        return task.replies(["q00"] * len(rows), turns)

    torch.manual_seed(seed)
    settings = generation_settings(model, tokenizer, max_new_tokens=150, temperature=3.0)
    episodes = write_turns(
        model, tokenizer, [tokenizer.encode("coat")] * 32, reply, max_turns=task.max_turns, settings=settings
    )
    for row, episode in enumerate(episodes):
        span = PromptFormat().answer_span(tokenizer.decode(episode.own, skip_special_tokens=True))
        text = tokenizer.decode(episode.own, skip_special_tokens=True)[slice(*span)]
        lines = text.split("\n") if text else []
        assert len(lines) == episode.turns <= task.max_turns
        assert [line.strip() for line in lines[: len(asked[row])]] == [turn.strip() for turn in asked[row]]
    assert {len(turns) for turns in asked.values()} == {0, 1}, "with two turns one reply at most is read"
    assert not {token for one in episodes for token in one.own} & set(others)


def test_a_tokenizer_without_line_breaks_is_refused(tokenizer):
    class Without:
        def __len__(self):
            return 3

        def batch_decode(self, ids, **settings):
            return ["a", "b", "c"]

    with pytest.raises(AgentError, match="need a tokenizer with a token for a line break"):
        write_turns(None, Without(), [[5]], lambda rows, turns: [], max_turns=2, settings={"eos_token_id": [1]})


def test_the_trainer_credits_the_policys_own_lines(task, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    queues = [list(one) for one in SCRIPTS * 2]
    monkeypatch.setattr("ospo_agents.policies.turns.complete", scripted(tokenizer, queues, []))
    kept = {}

    class Keeping(OSPOTrainer):
        def _credit(self, prompt_ids, completion_ids):
            kept["prompt_ids"] = list(prompt_ids)
            return super()._credit(prompt_ids, completion_ids)

        def _generate_and_score_completions(self, inputs):
            kept["output"] = super()._generate_and_score_completions(inputs)
            return kept["output"]

    args = OSPOConfig(
        str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=64,
        beta=0.0,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        solution="owen",
    )
    model, form = tiny_model(tokenizer, hidden_size=32, layers=1), PromptFormat()
    trainer = Keeping(model, task, form, args, tokenizer, rollout_func=TurnRollouts(task, form, max_turn_tokens=8))
    trainer.train()
    completions, ids = trainer._completions, kept["prompt_ids"]
    episodes = ["red coat, wool\nblack shoe", "qzxv, linen", "red coat", ""] * 2
    credited = assign_credit(task, ids, episodes, solution="owen")
    for one, text in zip(completions, credited, strict=True):
        assert one.reward == text.worth
        np.testing.assert_array_equal(one.credit, text.credit)
    assert completions[0].unions_matter
    assert not completions[2].unions_matter
    masks = kept["output"]["tool_mask"].numpy().astype(bool)
    advantages = kept["output"]["advantages"].numpy()
    assert not masks[0].all(), "replies are masked"
    assert len(np.unique(advantages[0][masks[0]].round(6))) > 3, "phrases of one episode have advantages of their own"
    for row, one in enumerate(completions):
        own = np.array(one.generated)
        assert (one.tokens.segment[~own] == -1).all(), "what a reply says is of no segment"
        assert masks[row, : len(own)].tolist() == own.tolist()


def test_what_cannot_be_played(task):
    assert isinstance(task, ReplyTask)
    with pytest.raises(AgentError, match="in turns that gives replies, but got ToyTask"):
        TurnRollouts(ToyTask(), PromptFormat())
    with pytest.raises(AgentError, match="without answer tags"):
        TurnRollouts(task, PromptFormat(answer_tags=True))
