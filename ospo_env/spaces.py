"""The space of free text: what an environment here shows and what it takes.

``gymnasium.spaces.Text`` does not fit. Its membership is by character set (the default lacks the space, one for all
of Unicode costs a second and 46 MB), and in shared memory it comes back as other text.

``iterate`` of ``gymnasium.vector.utils`` stays unregistered on purpose: for a ``Tuple`` whose every subspace is
registered, Gymnasium iterates *inside* each element, here over the characters of each text.
"""

import reprlib
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Space
from gymnasium.vector.utils import (
    create_empty_array,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

from envs_data.errors import one_line
from ospo_env.errors import TaskError

__all__ = ["FreeText", "check_action"]

_ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz",
    "abcdefghijklmnopqrstuvwxyz0123456789-",
    "àçéèîñöøßüÅÉ",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "абвгдежзийклмнопрстуфхцчшщыэюя",
    "赤青白黒服靴鞄帽子の",
    "가나다라마바사아자차",
    "👕👟🧢🎒✨",
)
_MAX_SAMPLED_WORDS = 8
_MAX_SAMPLED_LETTERS = 8


class FreeText(Space[str]):
    """Every string of at most ``max_length`` characters, whatever the characters, the empty string included.

    Args:
        max_length: Longest member, in characters (code points); at least 1.
        seed: Seed, or a generator, for :meth:`sample`.

    Raises:
        TaskError: ``max_length`` is not a whole number of at least 1.

    >>> space = FreeText(max_length=12)
    >>> "red shoes" in space, "" in space, "red shoes for men" in space, 7 in space
    (True, True, False, False)
    """

    def __init__(self, max_length: int = 100_000, *, seed: int | np.random.Generator | None = None) -> None:
        if isinstance(max_length, bool) or not isinstance(max_length, int | np.integer) or max_length < 1:
            raise TaskError(f"expected max_length to be a whole number of at least 1, got {max_length!r}")
        self.max_length = int(max_length)
        super().__init__(shape=None, dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: a text has no fixed shape."""
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        """One to eight random words, of several scripts; cut at ``max_length``.

        Args:
            mask: Not supported, leave ``None``.
            probability: Not supported, leave ``None``.

        Returns:
            A member of the space. It is made to exercise code, and is no rewrite of anything.

        Raises:
            TaskError: A mask or probability came.
        """
        if mask is not None or probability is not None:
            raise TaskError("FreeText samples without mask or probability; call sample()")
        rng = self.np_random
        words = []
        for _ in range(rng.integers(1, _MAX_SAMPLED_WORDS + 1)):
            alphabet = _ALPHABETS[rng.integers(len(_ALPHABETS))]
            letters = rng.integers(len(alphabet), size=rng.integers(1, _MAX_SAMPLED_LETTERS + 1))
            words.append("".join(alphabet[letter] for letter in letters))
        return " ".join(words)[: self.max_length]

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a string that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def to_jsonable(self, sample_n: Iterable[str]) -> list[str]:
        """The texts as a list; JSON has strings, and escapes lone surrogates."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[str]:
        """The texts of a list that :meth:`to_jsonable` made.

        Raises:
            TaskError: An element is not a member of this space.
        """
        for position, text in enumerate(sample_n):
            if not self.contains(text):
                what = f"{len(text)} characters" if isinstance(text, str) else f"{type(text).__name__} {text!r}"
                raise TaskError(
                    f"expected texts of at most {self.max_length} characters, got {what} at position {position}"
                )
        return list(sample_n)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FreeText) and self.max_length == other.max_length

    def __hash__(self) -> int:
        return hash((FreeText, self.max_length))

    def __repr__(self) -> str:
        return f"FreeText({self.max_length})"


def check_action(action: Any, space: FreeText, where: str = "") -> str:
    """Check that an action is a text of an action space.

    Args:
        action: The action.
        space: The action space.
        where: Words after "action" in the message, for example ``" of environment 3"``.

    Returns:
        The action unchanged.

    Raises:
        TypeError: It is not a string.
        TaskError: It is longer than the space allows.
    """
    if not isinstance(action, str):
        what = f"{type(action).__name__} {one_line(reprlib.repr(action))}"
        raise TypeError(f"expected the action{where} to be a str, the rewrite; got {what}")
    if not space.contains(action):
        raise TaskError(
            f"expected the action{where} to be at most {space.max_length:,} characters long, as the action space says; "
            f"got {len(action):,}; cut the rewrite"
        )
    return action


@create_empty_array.register(FreeText)
def _empty_texts(space: FreeText, n: int = 1, fn: Callable[..., Any] = np.zeros) -> tuple[str, ...]:
    return ("",) * n


@create_shared_memory.register(FreeText)
@read_from_shared_memory.register(FreeText)
@write_to_shared_memory.register(FreeText)
def _no_shared_memory(space: FreeText, *args: Any, **kwargs: Any) -> NoReturn:
    raise CustomSpaceError(
        f"{space} has no fixed size, so it cannot lie in shared memory; pass shared_memory=False to AsyncVectorEnv"
    )
