"""Names of retrievers as one string: ``kind``, ``kind:argument`` or ``module:attribute``, with ``?settings``."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote

from envs_data.errors import unknown_name
from ospo_env.errors import TaskError
from ospo_env.retrievers.base import Retriever
from ospo_env.retrievers.corpus import Corpus

__all__ = ["Kind", "NamedFactory", "named_factory"]

_FORM = re.compile(r"(?P<name>[^:?]+)(?P<colon>:(?P<argument>[^?]*))?(?P<mark>\?(?P<settings>.*))?", re.DOTALL)
_TRUTH = {"true": True, "false": False}


class Kind(NamedTuple):
    """Meaning of a registered name.

    Attributes:
        factory: Function of the corpus, the argument if the kind takes one, and the settings by keyword.
        argument: Description of the text after the colon; ``None`` if there is none.
    """

    factory: Callable[..., Retriever]
    argument: str | None = None


@dataclass(frozen=True)
class NamedFactory:
    """A kind with its argument and settings; comparable by these, and picklable.

    Attributes:
        factory: Factory of the kind.
        arguments: The argument after the colon, if there is one.
        settings: Keywords and values.
    """

    factory: Callable[..., Retriever]
    arguments: tuple[str, ...]
    settings: tuple[tuple[str, Any], ...]

    def __call__(self, corpus: Corpus) -> Retriever:
        """The retriever of a corpus."""
        return self.factory(corpus, *self.arguments, **dict(self.settings))


def named_factory(spec: str, kinds: Mapping[str, Kind]) -> Callable[..., Retriever] | None:
    """Factory of the retriever of a specification that starts with a known kind.

    The form is ``kind:argument?setting=value&setting=value``; the argument goes with kinds that take one, and settings
    are the keyword-only parameters of the kind's factory. In the argument and in values, ``%`` and two hexadecimal
    digits stand for a character, as in addresses: ``%3F`` for a question mark, ``%2C`` for a comma.

    Args:
        spec: The specification.
        kinds: Registered kinds by name.

    Returns:
        A factory, or ``None`` if the specification starts with none of the kinds.

    Raises:
        TaskError: The argument is missing or not wanted, or a setting is unknown or of the wrong type.
    """
    form = _FORM.fullmatch(spec)
    if form is None or form["name"] not in kinds:
        return None
    name, argument = form["name"], form["argument"]
    kind = kinds[name]
    if kind.argument is None and argument is not None:
        raise TaskError(f"the retriever {name!r} takes no argument; got {spec!r}")
    if kind.argument is not None and not argument:
        raise TaskError(f"expected {kind.argument} after {name + ':'!r}; got {spec!r}")
    if argument is None and form["settings"] is None:
        return kind.factory
    settings = _settings(form["settings"] or "", name, kind.factory)
    return NamedFactory(kind.factory, () if argument is None else (unquote(argument),), settings)


def _settings(listed: str, name: str, factory: Callable[..., Retriever]) -> tuple[tuple[str, Any], ...]:
    parameters = {
        parameter.name: parameter
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    settings: dict[str, Any] = {}
    for pair in listed.split("&") if listed else ():
        key, equals, value = pair.partition("=")
        if key not in parameters:
            raise TaskError(unknown_name(f"setting of the retriever {name!r}:", key, parameters))
        if not equals:
            raise TaskError(f"expected {key}=value as a setting of the retriever {name!r}; got {pair!r}")
        settings[key] = _value(unquote(value), parameters[key].default, f"{key} of the retriever {name!r}")
    return tuple(sorted(settings.items()))


def _value(written: str, default: object, what: str) -> Any:
    """A value of the default's type; text if the default is text or ``None``."""
    if isinstance(default, bool):
        if written not in _TRUTH:
            raise TaskError(f"expected {what} as true or false; got {written!r}")
        return _TRUTH[written]
    for kind in (int, float):
        if isinstance(default, kind):
            try:
                return kind(written)
            except ValueError:
                raise TaskError(f"expected {what} as {kind.__name__}; got {written!r}") from None
    return written
