"""Example rewrites by a careless shop assistant: they depend on the query, and leave room for RL."""

from collections.abc import Sequence

import numpy as np

from envs_data.sample.lexicon import Attribute, Ints

__all__ = ["write_demonstrations"]

_SECOND = 0.5  # chance that a query has a second demonstration
_HABITUAL = 1 / 3  # share of the values that the assistant takes for another one
_DROPPED = 0.1
_KEPT = 0.65  # of the other values; what is left is replaced by any sibling
_KEPT_AGAINST_HABIT, _HABIT = 0.25, 0.55
_DISORDER = 1.2  # standard deviation of a phrase's place, in places


def write_demonstrations(
    attributes: Sequence[Attribute], intents: Ints, rng: np.random.Generator
) -> list[tuple[int, str]]:
    """One or two example rewrites of each intent, in catalogue phrases separated by commas.

    Of the phrases of an intent somewhat less than 6 in 10 are right, 1 in 10 is dropped, the others are replaced by a
    sibling (another value of the same attribute and family). For a third of the values the assistant has a wrong
    habit: the replacement is nearly always the same one, and more likely than the right value. What is most likely
    after supervised training is then wrong, and only the reward can tell.

    Args:
        attributes: What intents have values of, A of them.
        intents: int64 (Q, A).
        rng: Source of randomness.

    Returns:
        Pairs of an intent's number and a rewrite, in the order of the intents. No rewrite is empty.
    """
    habits = [_habits(attribute, rng) for attribute in attributes]
    written = []
    for number, intent in enumerate(intents):
        for _ in range(1 + int(rng.random() < _SECOND)):
            said = [
                _say(attribute, habit, int(value), rng)
                for attribute, habit, value in zip(attributes, habits, intent, strict=True)
            ]
            places = np.argsort(np.arange(len(said)) + rng.normal(0.0, _DISORDER, len(said)), kind="stable")
            text = ", ".join(said[place] for place in places if said[place])
            written.append((number, text or attributes[0].terms[intent[0]].phrase))
    return written


def _habits(attribute: Attribute, rng: np.random.Generator) -> dict[int, int]:
    """Values that the assistant takes for another one, and which."""
    habits = {}
    for value, siblings in enumerate(attribute.siblings):
        others = [other for other in siblings if other != value]
        if others and rng.random() < _HABITUAL:
            habits[value] = others[int(rng.integers(len(others)))]
    return habits


def _say(attribute: Attribute, habits: dict[int, int], value: int, rng: np.random.Generator) -> str:
    """The phrase said for a value; empty if it is dropped."""
    lot, kept = rng.random(), _KEPT_AGAINST_HABIT if value in habits else _KEPT
    if lot < _DROPPED:
        return ""
    if lot < _DROPPED + kept:
        said = value
    elif value in habits and lot < _DROPPED + kept + _HABIT:
        said = habits[value]
    else:
        said = int(rng.choice(attribute.siblings[value]))
    return attribute.terms[said].phrase
