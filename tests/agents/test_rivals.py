"""Redistributions of other methods: what they reduce to, and the losses that they stand for."""

from dataclasses import replace

import numpy as np
import pytest

from ospo_agents.advantages import return_to_go
from ospo_agents.rivals import entropy_weights, grpo_lambda, oar, scar, tempo
from rollout_cases import VARIED, grpo, rollouts

CLOSE = {"rtol": 0, "atol": 1e-12}


def test_entropy_weights_reduce_to_grpo_and_keep_the_mean_of_a_place():
    np.testing.assert_array_equal(entropy_weights(VARIED, beta=0), grpo(VARIED))
    np.testing.assert_allclose(entropy_weights(replace(VARIED, entropy=np.full((4, 7), 2.0))), grpo(VARIED), **CLOSE)
    np.testing.assert_array_equal(entropy_weights(replace(VARIED, entropy=np.zeros((4, 7)))), grpo(VARIED))
    weights = entropy_weights(VARIED, beta=1.0) / grpo(VARIED)
    np.testing.assert_allclose(weights.mean(axis=0), 1, **CLOSE)
    assert (weights >= 0).all()
    assert np.ptp(weights, axis=0).min() > 0.1


def test_tempo_sees_where_completions_part():
    alike = replace(VARIED, tokens=np.tile(np.arange(7), (4, 1)))
    np.testing.assert_allclose(tempo(alike), grpo(VARIED), **CLOSE)
    apart = replace(VARIED, tokens=np.arange(28).reshape(4, 7))
    expected = grpo(VARIED)
    expected[:, 0] += VARIED.advantages - VARIED.advantages.mean()
    np.testing.assert_allclose(tempo(apart), expected, **CLOSE)
    # A tree by hand: 0 and 1 part from 2 and 3 at the second token, 0 from 1 at the fourth, 2 from 3 at the third.
    tree = np.zeros((4, 7), dtype=int)
    tree[2:, 1], tree[1, 3], tree[3, 2] = 1, 1, 1
    a, b, c, d = VARIED.advantages
    gains = np.zeros((4, 7))
    gains[:, 1] = np.repeat([(a + b) / 2, (c + d) / 2], 2) - (a + b + c + d) / 4
    gains[:2, 3], gains[2:, 2] = np.array([a, b]) - (a + b) / 2, np.array([c, d]) - (c + d) / 2
    np.testing.assert_allclose(tempo(replace(VARIED, tokens=tree)), grpo(VARIED) + gains, **CLOSE)


def test_tempo_ends_are_tokens_too():
    """A completion that stops where another goes on has parted from it."""
    mask = np.arange(7) < np.array([7, 7, 3, 7])[:, None]
    laid = tempo(replace(VARIED, tokens=np.zeros((4, 7), dtype=int), mask=mask))
    rest = VARIED.advantages[[0, 1, 3]]
    np.testing.assert_allclose(laid[0, 3] - VARIED.advantages[0], rest.mean() - VARIED.advantages.mean(), **CLOSE)
    assert (laid[2, 3:] == 0).all()


@pytest.mark.parametrize("style", ["recent", "both"])
def test_grpo_lambda_is_the_gradient_of_its_published_loss(style):
    """Automatic differentiation of sum over k of A exp(sum over t <= k of w(k, t) log p_t / q_t)."""
    torch = pytest.importorskip("torch")
    decay = 0.7
    logs = torch.zeros(4, 7, dtype=torch.float64, requires_grad=True)  # less those of the sampling policy
    total = torch.zeros((), dtype=torch.float64)
    mask = np.arange(7) < np.array([7, 5, 1, 3])[:, None]
    for row in range(4):
        for k in range(int(mask[row].sum())):
            weights = [decay ** (k - t) if style == "recent" else max(decay ** (k - t), decay**t) for t in range(k)]
            trace = sum((weight * logs[row, t] for t, weight in enumerate([*weights, 1.0])), torch.zeros(()))
            total = total + VARIED.advantages[row] * torch.exp(trace)
    total.backward()
    laid = grpo_lambda(replace(VARIED, mask=mask), decay=decay, style=style)
    np.testing.assert_allclose(laid, logs.grad.numpy(), **CLOSE)
    assert np.abs(laid - np.where(mask, grpo(VARIED), 0)).max() > 0.05


def test_grpo_lambda_without_a_trace_is_grpo_and_its_bound_lifts_negative_advantages():
    np.testing.assert_allclose(grpo_lambda(VARIED, decay=0), grpo(VARIED), **CLOSE)
    assert VARIED.advantages.min() < -0.1
    lifted = grpo_lambda(VARIED, decay=0, lowest=-0.1)
    np.testing.assert_allclose(lifted, np.maximum(grpo(VARIED), -0.1), **CLOSE)


def test_oar_goes_by_the_size_of_an_effect_and_keeps_the_mass_of_the_advantage():
    batch = rollouts([[0.5, -0.4, 0.1, 0.2], [0.0]], tokens=6)  # one token a segment
    weights = oar(batch)[0, 1:5] / batch.advantages[0]
    raw = np.array([2.0, 1 + (0.75 - 0.25) / 0.75, 0.1, 1.0])  # effects 1, .75, 0 and .25
    np.testing.assert_allclose(weights, raw / raw.mean(), **CLOSE)
    np.testing.assert_allclose(oar(replace(batch, credit=-batch.credit)), oar(batch), **CLOSE)


def test_scar_and_the_return_to_go_differ_by_where_they_normalise():
    one = rollouts([[0.2], [0.7], [-0.1], [0.0]])
    np.testing.assert_allclose(scar(one), return_to_go(one), **CLOSE)
    constant = rollouts([[0.2, 0.2], [0.2, 0.2, 0.2], [0.2]])
    np.testing.assert_allclose(scar(constant)[constant.segment >= 0], 0, **CLOSE)
    assert np.abs(return_to_go(constant)[constant.segment >= 0]).max() > 0.5  # favours the beginnings of long ones
