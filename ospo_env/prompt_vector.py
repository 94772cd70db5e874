"""The base of native vector environments: N environments that share a task, their resets and their infos."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs_data.errors import unknown_name
from ospo_env.errors import TaskError
from ospo_env.prompt_env import PromptEnv
from ospo_env.spaces import check_action

__all__ = ["PromptVectorEnv", "VectorArray", "VectorTexts"]

_OPTIONS = ("query_id", "query_ids", "reset_mask")
VectorTexts: TypeAlias = tuple[str, ...]
"""N texts, one an environment."""

VectorArray: TypeAlias = NDArray[Any]
"""N numbers, one an environment."""

_Env = TypeVar("_Env", bound=PromptEnv)


class PromptVectorEnv(VectorEnv[VectorTexts, Sequence[str], VectorArray], Generic[_Env]):
    """N environments that step together. An episode that ends starts the next one in the same step (``SAME_STEP``).

    Args:
        make: Makes an environment; N of them share its task.
        num_envs: N, at least 1.

    Raises:
        TaskError: ``num_envs`` is not a whole number of at least 1.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's own form
        **PromptEnv.metadata,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(self, make: Callable[[], _Env], num_envs: int) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise TaskError(f"expected num_envs to be a whole number of at least 1, got {num_envs!r}")
        first = make()
        # Shallow copies of one that has no episode yet share its task, and each makes its own generator.
        self._envs = [first] + [copy.copy(first) for _ in range(num_envs - 1)]
        self.num_envs = int(num_envs)
        self.render_mode = first.render_mode
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch_space(first.action_space, self.num_envs)
        self._observations: list[str | None] = [None] * self.num_envs

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[VectorTexts, dict[str, Any]]:
        """Start an episode in every environment, or in those of a mask.

        Args:
            seed: An int seeds environment i with ``seed + i``; a sequence of length N gives each its own, ``None``
                for those that go on unseeded.
            options: ``{"query_id": id}`` gives all environments that query, ``{"query_ids": [...]}`` of length N each
                its own (``None``: drawn). ``{"reset_mask": bool (N,)}``, with at least one ``True``, leaves the
                others as they are: their observations are repeated and they are absent from ``infos``.

        Returns:
            N prompts, and the infos of the environments that were reset.

        Raises:
            TaskError: An unknown option or query id, or one of the wrong length; no environment has changed then.
            ResetNeeded: The mask leaves out an environment that has no episode yet.
        """
        seeds = self._seeds(seed)
        mask, each = self._options(options)
        infos: dict[int, dict[str, Any]] = {}
        for index in np.flatnonzero(mask).tolist():
            self._observations[index], infos[index] = self._envs[index].reset(seed=seeds[index], options=each[index])
        return self._texts(), self._laid_out(infos)

    def render(self) -> tuple[str | None, ...]:  # type: ignore[override]
        """The current episode of each environment as text; after a step these are the new ones."""
        return tuple(env.render() for env in self._envs)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The N generators that the environments draw from."""
        return tuple(env.np_random for env in self._envs)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The N seeds."""
        return tuple(env.np_random_seed for env in self._envs)

    def _laid_out(self, infos: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
        """Infos of some environments as one array a key; ``_add_info`` would take a call for each.

        Args:
            infos: Infos by index of the environment; a key may be absent from some.
        """
        laid: dict[str, Any] = {}
        for key in dict.fromkeys(key for info in infos.values() for key in info):
            values = {index: info[key] for index, info in infos.items() if key in info}
            first = next(iter(values.values()))
            if isinstance(first, dict):
                laid[key] = self._laid_out(values)
            else:
                kind = type(first) if isinstance(first, bool | int | float) else object
                laid[key] = np.full(self.num_envs, None) if kind is object else np.zeros(self.num_envs, dtype=kind)
                for index, value in values.items():
                    laid[key][index] = value
            laid[f"_{key}"] = np.zeros(self.num_envs, dtype=np.bool_)
            laid[f"_{key}"][list(values)] = True
        return laid

    def _texts(self) -> VectorTexts:
        return tuple(text for text in self._observations if text is not None)

    def _actions(self, actions: Sequence[str]) -> list[str]:
        listed = _listed(actions)
        if listed is None:
            raise TypeError(f"expected a sequence of {self.num_envs} str actions, got {type(actions).__name__}")
        if len(listed) != self.num_envs:
            raise TaskError(f"expected {self.num_envs} actions, one an environment; got {len(listed)}")
        space = self._envs[0].action_space
        return [check_action(action, space, f" of environment {index}") for index, action in enumerate(listed)]

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + index for index in range(self.num_envs)]
        listed = _listed(seed)
        if listed is None or len(listed) != self.num_envs:
            raise TaskError(f"expected one seed, or {self.num_envs}, one an environment; got {seed!r}")
        return [None if one is None else int(one) for one in listed]

    def _options(self, options: Mapping[str, Any] | None) -> tuple[NDArray[np.bool_], list[dict[str, Any]]]:
        """The environments to reset, and the options of each, all checked."""
        rest = dict(options or {})
        for name in rest:
            if name not in _OPTIONS:
                raise TaskError(unknown_name("reset option", name, _OPTIONS))
        mask = self._mask(rest.pop("reset_mask", None))
        query_ids = rest.pop("query_ids", None)
        if query_ids is None:
            each = [dict(rest) for _ in range(self.num_envs)]
        else:
            if "query_id" in rest:
                raise TaskError("expected query_id (one for all) or query_ids (one an environment), got both")
            listed = _listed(query_ids)
            if listed is None or len(listed) != self.num_envs:
                raise TaskError(f"expected {self.num_envs} query_ids, one an environment (None: drawn)")
            each = [{"query_id": query_id} for query_id in listed]
        for index in np.flatnonzero(mask):
            self._envs[index].pinned_row(each[index])
        return mask, each

    def _mask(self, mask: Any) -> NDArray[np.bool_]:
        if mask is None:
            return np.ones(self.num_envs, dtype=np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            what = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
            raise TaskError(f"expected reset_mask to be a bool array of shape ({self.num_envs},), got {what}")
        if not mask.any():
            raise TaskError("expected reset_mask to hold at least one True, got none")
        if any(text is None and not reset for text, reset in zip(self._observations, mask, strict=True)):
            raise ResetNeeded("reset_mask leaves out an environment that has no episode yet; reset all of them first")
        return mask


def _listed(values: Any) -> list[Any] | None:
    """The elements of a list, tuple or one-dimensional array; ``None`` for anything else, such as a string."""
    if isinstance(values, np.ndarray):
        return list(values) if values.ndim == 1 else None
    return list(values) if isinstance(values, Sequence) and not isinstance(values, str | bytes) else None
