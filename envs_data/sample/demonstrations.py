"""Example rewrites by a careless shop assistant: related to the query, with room left for reinforcement learning."""

from collections.abc import Sequence

import numpy as np

from envs_data.sample.lexicon import Attribute, Ints

__all__ = ["write_demonstrations"]

_SECOND = 0.5  # chance that a query has a second demonstration
_HABITUAL = 1 / 3  # share of the values that the assistant usually mistakes for another one
_DROPPED = 0.1
_KEPT = 0.65  # chance of a value without a habit; any sibling replaces the rest
_KEPT_AGAINST_HABIT, _HABIT = 0.25, 0.55
_DISORDER = 1.2  # standard deviation of a phrase's place, in places


def write_demonstrations(
    attributes: Sequence[Attribute], intents: Ints, rng: np.random.Generator
) -> list[tuple[int, str]]:
    """Write one or two example rewrites of each intent, in catalogue phrases separated by commas.

    Of the phrases of an intent, somewhat less than 6 in 10 are right, 1 in 10 is dropped, and a sibling (another value
    of the same attribute and family) replaces the others. For a third of the values the assistant has a wrong habit:
    the replacement is nearly always the same, and more likely than the right value. After supervised training the most
    likely phrase is then wrong, and only the reward shows it.

    Args:
        attributes: Attributes of the intents, A of them.
        intents: Values of each intent, int64 (Q, A).
        rng: Source of randomness.

    Returns:
        Pairs of an intent's number and a rewrite that is not empty, in the order of the intents.
    """
    habits = [_habits(attribute, rng) for attribute in attributes]
    rewrites = []
    for number, intent in enumerate(intents):
        for _ in range(1 + int(rng.random() < _SECOND)):
            phrases = [
                _say(attribute, habit, int(value), rng)
                for attribute, habit, value in zip(attributes, habits, intent, strict=True)
            ]
            places = np.argsort(np.arange(len(phrases)) + rng.normal(0.0, _DISORDER, len(phrases)), kind="stable")
            text = ", ".join(phrases[place] for place in places if phrases[place])
            rewrites.append((number, text or attributes[0].terms[intent[0]].phrase))
    return rewrites


def _habits(attribute: Attribute, rng: np.random.Generator) -> dict[int, int]:
    """Value that the assistant takes for each of some values."""
    habits = {}
    for value, siblings in enumerate(attribute.siblings):
        others = [other for other in siblings if other != value]
        if others and rng.random() < _HABITUAL:
            habits[value] = others[int(rng.integers(len(others)))]
    return habits


def _say(attribute: Attribute, habits: dict[int, int], value: int, rng: np.random.Generator) -> str:
    """Phrase that the assistant writes for a value; empty if it is dropped."""
    lot, right = rng.random(), _KEPT_AGAINST_HABIT if value in habits else _KEPT
    if lot < _DROPPED:
        return ""
    if lot < _DROPPED + right:
        choice = value
    elif value in habits and lot < _DROPPED + right + _HABIT:
        choice = habits[value]
    else:
        choice = int(rng.choice(attribute.siblings[value]))
    return attribute.terms[choice].phrase
