"""Texts of numeric actions: the pure part of the wrappers, which evaluation uses without them."""

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete, Space

from envs_data.errors import one_line, unknown_name
from ospo_env.errors import TaskError
from ospo_env.prompts import Query
from ospo_env.wrappers.phrases import check_phrases, check_template, fill_template

__all__ = ["KEYWORD_SPACES", "KeywordChoice", "TemplateChoice"]

KEYWORD_SPACES = ("multidiscrete", "multibinary")
"""Slots that each hold a phrase or none; a switch a phrase."""


class KeywordChoice:
    """Up to ``most`` of V phrases, joined by commas and put into a template.

    ``multidiscrete``: one number a slot, 0 for none and i for the i-th phrase; a phrase that two slots hold stands
    once, at the first. ``multibinary``: one switch a phrase; of those that are on, the first ``most`` in the order of
    ``phrases`` are taken and the rest is left out, which :meth:`left_out` counts.

    Attributes:
        phrases: The V phrases.
        most: Phrases in a text.
        kind: One of :data:`KEYWORD_SPACES`.
        template: Template that they are put into.
        space: Its actions: ``MultiDiscrete([V + 1] * most)`` or ``MultiBinary(V)``.

    Args:
        phrases: V different texts, at least one.
        most: Phrases in a text, at least 1.
        space: One of :data:`KEYWORD_SPACES`.
        template: With the fields ``{phrases}``, ``{query}`` (the raw query) and ``{history}``.

    Raises:
        TaskError: An argument is wrong.
    """

    def __init__(
        self,
        phrases: Sequence[str],
        *,
        most: int = 3,
        space: str = "multidiscrete",
        template: str = "{query}, {phrases}",
    ) -> None:
        self.phrases = check_phrases(phrases)
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise TaskError(f"expected the most phrases of a text as a whole number of at least 1; got {most!r}")
        if space not in KEYWORD_SPACES:
            raise TaskError(unknown_name("space of keywords", space, KEYWORD_SPACES))
        self.most = most
        self.template = check_template(template, ("phrases", "query", "history"))
        self.kind = space
        many = len(self.phrases)
        self.space: Space[Any] = MultiDiscrete([many + 1] * most) if space == "multidiscrete" else MultiBinary(many)

    def write(self, action: Any, query: Query) -> str:
        """The text of an action for a prompt.

        Raises:
            TaskError: The action is not one of ``space``.
        """
        chosen = [self.phrases[row] for row in self._rows(action)[: self.most]]
        return fill_template(self.template, query, {"phrases": ", ".join(chosen)})

    def left_out(self, action: Any) -> int:
        """Different phrases that an action asks for beyond the ``most``."""
        return max(len(self._rows(action)) - self.most, 0)

    def _rows(self, action: Any) -> list[int]:
        values = _admit(action, self.space)
        if self.kind == "multidiscrete":
            return list(dict.fromkeys(int(value) - 1 for value in values if value > 0))
        return [int(row) for row in np.flatnonzero(values)]


class TemplateChoice:
    """One of n templates, filled in.

    Attributes:
        templates: The n templates.
        space: Its actions: ``Discrete(n)``.

    Args:
        templates: n different texts, at least one, with the fields ``{query}`` (the raw query) and ``{history}``.

    Raises:
        TaskError: A template cannot be read.
    """

    def __init__(self, templates: Sequence[str]) -> None:
        self.templates = check_phrases(templates, "templates")
        for template in self.templates:
            check_template(template, ("query", "history"))
        self.space: Space[Any] = Discrete(len(self.templates))

    def write(self, action: Any, query: Query) -> str:
        """The text of an action for a prompt.

        Raises:
            TaskError: The action is not one of ``space``.
        """
        return fill_template(self.templates[int(_admit(action, self.space))], query)


def _admit(action: Any, space: Space[Any]) -> Any:
    """The action as an array, if it is a member of the space."""
    try:
        member = space.contains(action)
    except (TypeError, ValueError):  # numpy cannot make an array of it, or compare it with numbers
        member = False
    if not member:
        what = f"{type(action).__name__} {one_line(reprlib.repr(action))}"
        raise TaskError(f"expected an action of {space}; got {what}")
    return np.asarray(action)
