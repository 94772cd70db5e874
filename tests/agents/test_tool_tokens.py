"""Tokens that a tool or an environment wrote get no credit, and the rewrite is read without them."""

import numpy as np
import pytest

from ospo_agents import AgentError, credit_completions
from ospo_agents.advantages import make_redistribution
from ospo_agents.batches import generated_ids, stack_completions
from ospo_agents.credit import make_solution
from stored_rollouts import FORMAT, stored_rollouts
from toy_task import WORDS

BETWEEN = 3  # the token of each completion after which a tool writes


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same completions without a tool and with one that wrote words of the target."""
    plain = stored_rollouts(tmp_path_factory.mktemp("plain"))
    tool = plain.tokenizer.encode(" red blue silk wool, " + " ".join(WORDS), add_special_tokens=False)
    with_tool = stored_rollouts(tmp_path_factory.mktemp("tool"), tool=(BETWEEN, tool))
    return plain, with_tool, len(tool)


def places(row, length):
    """Columns of the policy's own tokens in a completion into which a tool wrote."""
    at = min(BETWEEN, row)
    return np.r_[:at, at + length : row + length]


@pytest.mark.parametrize("name", ["additive", "prop", "rank", "return_to_go", "oar", "scar", "tempo"])
def test_advantages_are_those_without_the_tool(pair, name):
    plain, with_tool, length = pair
    expected = plain.advantages(make_redistribution(name))
    advantages = with_tool.advantages(make_redistribution(name))
    for row, mask in enumerate(plain.mask):
        own = places(mask.sum(), length)
        np.testing.assert_array_equal(advantages[row][own], expected[row][mask])
        others = np.setdiff1d(np.arange(advantages.shape[1]), own)
        np.testing.assert_array_equal(advantages[row][others], 0)


def test_rewards_and_credit_are_those_without_the_tool(pair):
    plain, with_tool, _ = pair
    for one, other in zip(plain.completions, with_tool.completions, strict=True):
        assert other.reward == one.reward
        np.testing.assert_array_equal(other.credit, one.credit)
    np.testing.assert_array_equal(with_tool.trainer._rewards[:, 0], [one.reward for one in plain.completions])


def test_without_a_mask_the_tool_would_be_credited(pair):
    """The negative control."""
    plain, with_tool, _ = pair
    completions = credit_completions(
        plain.task,
        plain.prompt_ids,
        with_tool.completion_ids,
        plain.tokenizer,
        FORMAT.answer_span,
        segmenter="phrases",
        solution=make_solution("shapley"),
    )
    assert [one.reward for one in completions] != [one.reward for one in plain.completions]


def test_a_tools_tokens_are_of_no_segment(pair):
    _, with_tool, length = pair
    rollouts = stack_completions(with_tool.completions, np.zeros(8), with_tool.group)
    own = rollouts.mask.sum(axis=1)
    assert ((rollouts.segment >= 0) <= rollouts.mask).all()
    assert (rollouts.separator <= rollouts.mask).all()
    assert (np.diff(rollouts.whole[0][: own[0] + length]) >= 0).all()
    assert (rollouts.tokens >= 0).sum() == own.sum() + 8 * length


def test_a_tool_call_of_trl_is_masked(tmp_path, monkeypatch):
    """TRL's own loop of tool calls gives the mask in the same place."""
    plain = stored_rollouts(tmp_path / "plain")
    tool = plain.tokenizer.encode(" red blue silk wool", add_special_tokens=False)

    def loop(self, prompts, prompt_ids, completion_ids, completions, logprobs, images, fields):
        ids = [[*one[:BETWEEN], *tool, *one[BETWEEN:]] for one in completion_ids]
        masks = [[1] * len(one[:BETWEEN]) + [0] * len(tool) + [1] * len(one[BETWEEN:]) for one in completion_ids]
        return masks, completions, ids, logprobs, 0, 0, []

    monkeypatch.setattr("trl.GRPOTrainer._tool_call_loop", loop)
    with_tool = stored_rollouts(tmp_path / "tool", tools=[lambda query: query])
    assert [one.reward for one in with_tool.completions] == [one.reward for one in plain.completions]
    assert [len(one.token_ids) for one in with_tool.completions] == [
        len(one.token_ids) + len(tool) for one in plain.completions
    ]


def test_masks_have_one_number_a_token():
    with pytest.raises(AgentError, match=r"expected masks of generated tokens of the lengths \[2\], but got \[3\]"):
        generated_ids([[5, 6]], [[1, 1, 0]])
