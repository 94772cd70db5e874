"""Rollouts with credit, and every form of redistribution, for the tests of advantages."""

import numpy as np

from ospo_agents.advantages import REDISTRIBUTIONS, CreditedRollouts, group_relative, make_redistribution


def rollouts(credit, group=None, seed=0, tokens=7):
    """Rollouts with that credit (a list of lists), efficient rewards, and tokens laid on segments at random."""
    rng = np.random.default_rng(seed)
    counts = [len(row) for row in credit]
    padded = np.full((len(credit), max(counts)), np.nan)
    segment = np.full((len(credit), tokens), -1)
    for row, values in enumerate(credit):
        padded[row, : counts[row]] = values
        if values:
            lengths = rng.multinomial(tokens - 2 - counts[row], np.full(counts[row], 1 / counts[row])) + 1
            segment[row, 1:-1] = np.repeat(np.arange(counts[row]), lengths)
    rewards = np.array([sum(values) for values in credit], dtype=float)
    group = np.zeros(len(credit), int) if group is None else np.array(group)
    return CreditedRollouts(
        group_relative(rewards, group),
        rewards,
        padded,
        segment,
        np.ones(segment.shape, dtype=bool),
        group,
        tokens=rng.integers(0, 2, size=segment.shape),
        entropy=rng.random(segment.shape),
    )


def grpo(given):
    return np.where(given.mask, given.advantages[:, None], 0.0)


VARIED = rollouts([[0.5, -0.2, 0.1], [0.3, 0.3], [-0.1, 0.2], [0.9, 0.0, 0.1]])
BLIND = ("entropy_weights", "tempo", "grpo_lambda")  # they do not read credit
FORMS = {
    **REDISTRIBUTIONS,
    "prop, minmax": make_redistribution("prop", scaling="minmax"),
    "additive, rollout": make_redistribution("additive", centring="rollout"),
    "additive, beta 0": make_redistribution("additive", beta=0),
    "oar, steep": make_redistribution("oar", threshold=0.5, beta=3.0),
    "grpo_lambda, both": make_redistribution("grpo_lambda", decay=0.5, style="both", lowest=-0.5),
    "signed, rollout": make_redistribution("signed", centring="rollout"),
}
