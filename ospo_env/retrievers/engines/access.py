"""Keys and connection strings: read from environment variables, and kept out of messages."""

import base64
import importlib.util
import os
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlsplit

from envs_data.errors import one_line
from ospo_env.errors import TaskError

__all__ = ["check_url", "hidden", "key_forms", "library", "retry_after", "secret"]

_HIDDEN = "***"
_SHORTEST = 4  # characters of a secret; shorter ones would hide parts of words


def library(kind: str, module: str, extra: str) -> None:
    """Raise a ``TaskError`` unless the library of a kind is installed.

    Args:
        kind: Name of the retriever.
        module: Import name of the library.
        extra: Extra of this project that brings it.
    """
    if importlib.util.find_spec(module) is None:
        raise TaskError(f"the retriever {kind!r} needs {module}, which is not installed: pip install 'ospo[{extra}]'")


def secret(kind: str, setting: str, variable: str) -> str:
    """The value of an environment variable that a setting names.

    Args:
        kind: Name of the retriever, for messages.
        setting: Name of the setting, such as ``"dsn_env"``.
        variable: Name of the variable.

    Raises:
        TaskError: The variable is not set, or its name cannot be one (its content, which the message does not show).
    """
    if not variable.isidentifier():
        raise TaskError(
            f"expected {setting} of the retriever {kind!r} as the name of an environment variable, such as "
            f"{setting}=SHOP_SECRET; got something else, which is not shown since it may be the secret itself"
        )
    value = os.environ.get(variable, "").strip()
    if not value:
        raise TaskError(f"the retriever {kind!r} reads {setting} from ${variable}, which is not set; export {variable}")
    return value


def check_url(kind: str, url: str) -> str:
    """An address of http or https without a user and a password in it.

    Raises:
        TaskError: It is something else.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        parts = urlsplit("")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise TaskError(
            f"expected the address of the retriever {kind!r} without a user and a password, which would be written "
            "into runs; export them as a variable, USER:PASSWORD, and name it with key_env=VARIABLE"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TaskError(f"expected the address of the retriever {kind!r} as http://... or https://...; got {url!r}")
    return url


def key_forms(key: str) -> list[str]:
    """A key as it may come back in a message: whole, its user and password, and as HTTP sends them."""
    encoded = base64.b64encode(key.encode()).decode()
    return [key, *key.split(":", 1), encoded] if key else []


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait with the header ``Retry-After``; 0 without one, and for a date."""
    written = headers.get("retry-after", "")
    return float(written) if written.isdecimal() else 0.0


def hidden(message: object, secrets: Iterable[str], longest: int = 200) -> str:
    """A message as one printable line, with secrets replaced by asterisks, as they are or percent-encoded.

    >>> hidden("no user shop:hunter22 at db", ["hunter22"])
    'no user shop:*** at db'
    """
    text = str(message) or type(message).__name__
    forms = {form for value in secrets for form in (value, quote(value, safe=""))}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= _SHORTEST:
            text = text.replace(form, _HIDDEN)
    return one_line(text, longest)
