"""Advantages on the nodes of traces are OSPOTrainer's; verifiers' own traces where it is installed.

prime-rl itself is in no package index: a class with its hook stands in for its base class.
"""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from ospo_agents import AgentError
from ospo_agents.advantages import REDISTRIBUTIONS, make_redistribution
from ospo_agents.integrations.crediting import Crediting
from ospo_agents.integrations.prime_rl import algorithm
from ospo_agents.integrations.verifiers import credit_group, sampled_ids
from stored_rollouts import FORMAT, stored_rollouts

WITHOUT_ENTROPY = sorted(set(REDISTRIBUTIONS) - {"entropy_weights"})


class Algorithm:
    """The hooks of prime-rl's base class."""

    def __init__(self, config, clients):
        self.config, self.clients = config, clients

    async def score_group(self, episodes):
        raise NotImplementedError

    async def finalize_group(self, episodes):
        await self.score_group(episodes)


@pytest.fixture(scope="module", params=["group", "none"])
def stored(request, tmp_path_factory):
    return request.param, stored_rollouts(tmp_path_factory.mktemp("run"), scale_rewards=request.param)


def crediting(rollouts):
    return Crediting(rollouts.task, FORMAT, solution="shapley")


def scorer_of(rollouts, **settings):
    return algorithm(Algorithm, lambda: crediting(rollouts), lambda: rollouts.tokenizer, **settings)(None, None)


def plain_node(ids, sampled):
    """A node whose scaffold of two tokens comes before what was sampled."""
    mask = [False, False] + [sampled] * len(ids)
    return SimpleNamespace(token_ids=[1, 2, *ids], mask=mask, advantages=None)


def plain_trace(prompt_id, ids, reward):
    return SimpleNamespace(
        id=f"trace-{prompt_id}",
        task=SimpleNamespace(data=SimpleNamespace(id=prompt_id)),
        nodes=[plain_node([7, 8], False), plain_node([5, 6, 7], True), plain_node(ids, True)],
        reward=reward,
        has_error=False,
        agent=SimpleNamespace(trainable=True),
    )


def verifiers_trace(prompt_id, ids, reward):
    """The same trace in verifiers' own classes."""
    vf = pytest.importorskip("verifiers.v1", reason="verifiers is not installed; make integrations")
    from verifiers.v1.graph import MessageNode
    from verifiers.v1.trace import AgentInfo, Reward, TraceTask
    from verifiers.v1.types import AssistantMessage, UserMessage

    def node(one, message):
        return MessageNode(message=message, token_ids=one.token_ids, mask=one.mask, sampled=any(one.mask))

    first, second, answer = plain_trace(prompt_id, ids, reward).nodes
    nodes = [
        node(first, UserMessage(content="red coat")),
        node(second, AssistantMessage(content="so")),
        node(answer, AssistantMessage(content="coat")),
    ]
    for number, one in enumerate(nodes[1:]):
        one.parent = number
    trace = vf.Trace(
        task=TraceTask(type="RewriteTask", data=vf.TaskData(id=prompt_id, prompt="red coat")),
        agent=AgentInfo.model_construct(config=None, runtime=None, name="agent", trainable=True),
        nodes=nodes,
        rewards={"reward": Reward(score=reward)},
        is_completed=True,
    )
    trace.ok = True
    return trace


def traces_of(rollouts, make=plain_trace):
    """The traces of each group."""
    made = [
        make(prompt_id, ids, one.reward)
        for prompt_id, ids, one in zip(rollouts.prompt_ids, rollouts.completion_ids, rollouts.completions, strict=True)
    ]
    return [[made[row] for row in np.flatnonzero(rollouts.group == number)] for number in np.unique(rollouts.group)]


def compare(rollouts, groups, name, settings=None):
    expected = rollouts.advantages(make_redistribution(name, **(settings or {})))
    rows = [
        (row, trace)
        for number, group in enumerate(groups)
        for row, trace in zip(np.flatnonzero(rollouts.group == number), group, strict=True)
    ]
    for row, trace in rows:
        _, earlier, answer = trace.nodes
        np.testing.assert_allclose(answer.advantages, expected[row][rollouts.mask[row]], rtol=1e-6, atol=1e-6)
        assert len(set(earlier.advantages)) == 1
        assert len(earlier.advantages) == sum(earlier.mask)
        assert trace.nodes[0].advantages is None


@pytest.mark.parametrize("name", WITHOUT_ENTROPY)
def test_advantages_are_those_of_the_trainer(stored, name):
    scale, rollouts = stored
    groups = traces_of(rollouts)
    scorer = scorer_of(rollouts, redistribution=name, scale_rewards=scale)
    for group in groups:
        asyncio.run(scorer.finalize_group([SimpleNamespace(traces=[trace]) for trace in group]))
    compare(rollouts, groups, name)


def test_settings_travel_too(stored):
    scale, rollouts = stored
    groups = traces_of(rollouts)
    settings = {"twin_weight": 0.5, "separator_weight": 0.5}
    for group in groups:
        credit_group(
            group, rollouts.tokenizer, crediting(rollouts), redistribution_settings=settings, scale_rewards=scale
        )
    compare(rollouts, groups, "additive", settings)
    with pytest.raises(AssertionError):  # the negative control
        compare(rollouts, groups, "additive")


def test_traces_of_verifiers(stored):
    scale, rollouts = stored
    groups = traces_of(rollouts, verifiers_trace)
    scorer = scorer_of(rollouts, scale_rewards=scale)
    for group in groups:
        assert all(not trace.has_error for trace in group)
        asyncio.run(scorer.score_group(group))
    compare(rollouts, groups, "additive")
    trace = groups[0][0]
    (branch,) = trace.branches
    spread = branch.advantages  # verifiers' own view, on all tokens of the conversation
    assert len(spread) == len(branch.token_ids)
    assert np.count_nonzero(spread) == sum(map(bool, spread))
    np.testing.assert_allclose(
        [value for value, sampled in zip(spread, branch.sampled_mask, strict=True) if sampled],
        [*trace.nodes[1].advantages, *trace.nodes[2].advantages],
    )
    assert verifiers_trace("p0", [5], 0.0).branches[0].advantages is None


def test_traces_that_failed_are_left_out(stored):
    _, rollouts = stored
    group = traces_of(rollouts)[0]
    group[0].has_error = True
    group[1].agent.trainable = False
    asyncio.run(scorer_of(rollouts).score_group(group))
    assert [trace.nodes[-1].advantages is None for trace in group] == [True, True, False, False]


def test_what_cannot_be_credited_is_refused(stored):
    _, rollouts = stored
    group = traces_of(rollouts)[0]
    group[0].reward += 0.5
    with pytest.raises(AgentError, match=r"expected the task's reward 0.75 of trace trace-p\d+, but it has 1.25"):
        credit_group(group, rollouts.tokenizer, crediting(rollouts))
    group[0].nodes = group[0].nodes[:1]
    with pytest.raises(AgentError, match="expected sampled tokens in trace"):
        credit_group(group, rollouts.tokenizer, crediting(rollouts))
    with pytest.raises(AgentError, match="entropy_weights reads the policy's entropy"):
        algorithm(Algorithm, lambda: None, lambda: None, redistribution="entropy_weights")
    assert sampled_ids(plain_node([5, 6], True)) == [5, 6]
