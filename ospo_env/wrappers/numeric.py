"""Numeric views of an environment of text, for learners that take arrays only, such as Stable-Baselines3's.

``VectorObservation`` shows the prompt as a vector; ``KeywordActions`` and ``TemplateActions`` make the rewrite out of a
choice. They wrap any :class:`~ospo_env.env.RewriteEnv`, under and over other wrappers, and are part of ``env.spec``, so
that ``gym.make(env.spec)`` makes the same again.
"""

from collections.abc import Sequence
from typing import Any, SupportsFloat, TypeAlias, cast

import gymnasium as gym
import numpy as np
from cachetools import LRUCache
from gymnasium.spaces import Box
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from ospo_env.env import RewriteEnv
from ospo_env.errors import RetrieverError, TaskError
from ospo_env.retrievers.base import Encoder, is_encoder
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.registry import RetrieverSpec, make_retriever
from ospo_env.scoring.calls import plain_array, retriever_errors
from ospo_env.spaces import FreeText
from ospo_env.task import RetrievalTask
from ospo_env.text import clean_text
from ospo_env.wrappers.choices import KeywordChoice, TemplateChoice
from ospo_env.wrappers.phrases import catalogue_phrases, phrase_templates, phrases_template

__all__ = ["GainReward", "KeywordActions", "TemplateActions", "VectorObservation", "encode_prompts", "open_encoder"]

_REMEMBERED = 2**12
_Step: TypeAlias = tuple[Any, Any, bool, bool, dict[str, Any]]


class VectorObservation(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """The prompt as a vector of a retriever's encoder: ``Box(-1, 1, (d,), float32)``, of unit length or zero.

    The last few thousand prompts are encoded once.

    Args:
        env: An environment of this package whose observation is text.
        encoder: Name of a retriever that has vectors, ``"lsa"`` or ``"dense:MODEL"``, whichever retriever ranks; or an
            object with ``dimensions`` and ``encode`` (:class:`~ospo_env.retrievers.base.Encoder`).

    Raises:
        TaskError: The environment or the encoder is not of that kind.
    """

    def __init__(self, env: gym.Env[Any, Any], encoder: RetrieverSpec | Encoder = "lsa") -> None:
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, encoder=encoder)
        gym.ObservationWrapper.__init__(self, env)
        task = _task(env, "observation")
        self._encoder = open_encoder(encoder, task)
        self._known: LRUCache[str, NDArray[np.float32]] = LRUCache(maxsize=_REMEMBERED)
        self.observation_space = Box(-1.0, 1.0, (self._encoder.dimensions,), np.float32)

    def observation(self, observation: str) -> NDArray[np.float32]:
        """The vector (d,) of a prompt, a new array at each call.

        Raises:
            RetrieverError: The encoder gave something else.
        """
        if observation not in self._known:
            self._known[observation] = encode_prompts(self._encoder, [observation])[0]
        return self._known[observation].copy()


class _ChosenText(gym.ActionWrapper[Any, Any, Any]):
    """Sends the text of a choice, and says in ``info`` which."""

    def __init__(self, env: gym.Env[Any, Any], choice: KeywordChoice | TemplateChoice) -> None:
        super().__init__(env)
        self.choice = choice
        self.action_space = choice.space

    def action(self, action: Any) -> str:
        """The text that an action stands for, for the current prompt.

        Raises:
            TaskError: The action is not one of ``action_space``.
            ResetNeeded: There is no prompt yet.
        """
        env: Any = self.unwrapped
        return self.choice.write(action, env.task.query(env.prompt_id))

    def step(self, action: Any) -> _Step:
        """As the environment's; ``info`` also holds ``rewrite``, the text that was sent."""
        text = self.action(action)
        observation, reward, terminated, truncated, info = self.env.step(text)
        return observation, reward, terminated, truncated, info | {"rewrite": text}


class KeywordActions(_ChosenText, RecordConstructorArgs):
    """Choose up to ``most`` of V phrases of the catalogue.

    What an action means is in :class:`~ospo_env.wrappers.choices.KeywordChoice`: one phrase or none a slot, or one
    switch a phrase, of which the first ``most`` count. ``info`` after a step also holds ``rewrite``, the text that was
    sent, and ``phrases_left_out``, how many phrases were chosen beyond ``most``.

    Args:
        env: An environment of this package whose action is text.
        phrases: The V phrases, or how many to take of :func:`~ospo_env.wrappers.phrases.catalogue_phrases`.
        most: Phrases in a rewrite. Words beyond the environment's cap are not scored, wherever they come from.
        space: ``"multidiscrete"`` or ``"multibinary"``.
        template: Template of the rewrite; ``None`` for ``"{query}, {phrases}"``, or ``"{phrases}"`` where the query is
            sent anyway (``compose="append"``). ``"{phrases}, {query}"`` lets the cap cut the query instead of the
            phrases.

    Raises:
        TaskError: The environment is not of that kind, or an argument is wrong.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        phrases: int | Sequence[str] = 128,
        *,
        most: int = 3,
        space: str = "multidiscrete",
        template: str | None = None,
    ) -> None:
        RecordConstructorArgs.__init__(self, phrases=phrases, most=most, space=space, template=template)
        task = _task(env, "action")
        if isinstance(phrases, int):
            phrases = catalogue_phrases(task, phrases)
        if template is None:
            template = phrases_template(task.compose)
        super().__init__(env, KeywordChoice(phrases, most=most, space=space, template=template))

    def step(self, action: Any) -> _Step:
        """As the environment's, with ``rewrite`` and ``phrases_left_out`` in ``info``."""
        observation, reward, terminated, truncated, info = super().step(action)
        left_out = self.choice.left_out(action) if isinstance(self.choice, KeywordChoice) else 0
        return observation, reward, terminated, truncated, info | {"phrases_left_out": left_out}


class TemplateActions(_ChosenText, RecordConstructorArgs):
    """Choose one of n templates. ``info`` after a step also holds ``rewrite``, the text that was sent.

    Args:
        env: An environment of this package whose action is text.
        templates: The templates, with the fields ``{query}`` (the raw query) and ``{history}``; or of how many phrases
            of :func:`~ospo_env.wrappers.phrases.catalogue_phrases` to make ``"{query}, PHRASE"``, beside ``"{query}"``
            itself; ``"PHRASE"`` and the empty template where the query is sent anyway (``compose="append"``).

    Raises:
        TaskError: The environment is not of that kind, or a template cannot be read.
    """

    def __init__(self, env: gym.Env[Any, Any], templates: int | Sequence[str] = 128) -> None:
        RecordConstructorArgs.__init__(self, templates=templates)
        task = _task(env, "action")
        if isinstance(templates, int):
            templates = phrase_templates(catalogue_phrases(task, templates), task.compose)
        super().__init__(env, TemplateChoice(templates))


class GainReward(gym.RewardWrapper[Any, Any], RecordConstructorArgs):
    """The reward less that of the raw query, in [-1, 1].

    The best rewrite stays the best, since the raw query's reward does not depend on the action. It differs much more
    between queries than rewrites of one query do, so that learners without a group a query learn faster. Each query
    costs one more retrieval, the first time that it is drawn. ``info["metrics"]`` stays as it is.

    Args:
        env: An environment of this package.

    Raises:
        TaskError: It is another.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.RewardWrapper.__init__(self, env)
        self._task = _task(env)
        self._raw: dict[str, float] = {}

    def reward(self, reward: SupportsFloat) -> float:
        """The gain of the current query's reward."""
        env: Any = self.unwrapped
        prompt_id = env.prompt_id
        if prompt_id not in self._raw:
            self._raw[prompt_id] = float(self._task.rewards([prompt_id], self._task.raw_rewrites([prompt_id]))[0])
        return float(reward) - self._raw[prompt_id]


def open_encoder(encoder: RetrieverSpec | Encoder, task: RetrievalTask) -> Encoder:
    """The encoder of a name, made on the task's documents, or the object as it is.

    Raises:
        TaskError: The name is unknown, or what it names has no vectors of texts.
    """
    if not isinstance(encoder, str) and not isinstance(encoder, type) and is_encoder(encoder):
        return encoder
    made = make_retriever(cast(RetrieverSpec, encoder), Corpus.of_documents(task.data.documents))
    if not is_encoder(made):
        raise TaskError(f"the retriever {made.name!r} has no vectors of texts; use 'lsa' or 'dense:MODEL' as encoder")
    return made


def encode_prompts(encoder: Encoder, prompts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors (B, d) of B prompts.

    Raises:
        RetrieverError: The encoder failed, or gave something that is not finite numbers in [-1, 1] of that shape.
    """
    with retriever_errors(getattr(encoder, "name", type(encoder).__name__), f"on encoding {len(prompts)} prompts"):
        vectors = plain_array(encoder.encode([clean_text(prompt) for prompt in prompts])).astype(np.float32)
    shape = (len(prompts), encoder.dimensions)
    if vectors.shape != shape or not (np.abs(vectors) <= 1.0).all():
        raise RetrieverError(f"expected the encoder to give numbers in [-1, 1] of shape {shape}; got {vectors.shape}")
    return vectors


def _task(env: gym.Env[Any, Any], text: str | None = None) -> RetrievalTask:
    """The task of an environment, whose ``"observation"`` or ``"action"`` has to be text if it is named."""
    inner = env.unwrapped
    if getattr(getattr(inner, "task", None), "in_turns", False):
        raise TaskError(
            f"expected an environment of one step an episode, such as OSPO-ESCI-v0; {type(inner).__name__} is in turns"
        )
    if not isinstance(inner, RewriteEnv):
        raise TaskError(f"expected an environment of this package, such as OSPO-ESCI-v0; got {type(inner).__name__}")
    if text is not None and not isinstance(getattr(env, f"{text}_space"), FreeText):
        space = getattr(env, f"{text}_space")
        raise TaskError(f"expected an environment whose {text} is text; got {space}, so it is wrapped already")
    return inner.task
