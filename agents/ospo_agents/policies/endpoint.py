"""Policy of a chat model behind an OpenAI-compatible endpoint. A request that fails is an error, never a rewrite."""

import json
import math
import os
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from ospo_agents.errors import AgentError
from ospo_agents.policies.bounded_http import STATUS_SENT, bounded_client
from ospo_agents.policies.prompt_format import INSTRUCTION, PromptFormat

__all__ = ["EndpointPolicy"]

_OPENAI = "https://api.openai.com/v1"  # where openai asks by default
_LONGEST_REASON = 300  # characters of the endpoint's own words
_NOT_AS_EXPECTED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
_WAIT = re.compile(r"rate.?limit|too.many.requests|overloaded|unavailable|try.again", re.IGNORECASE)


class EndpointPolicy:
    """A function from prompts to rewrites: one request a prompt, with the conversation of ``LanguageModelPolicy``.

    The library openai (version 2 or 3, ``pip install ospo[endpoint]``) repeats a request, with growing pauses, where
    the endpoint is overloaded, limited or broken for the moment; also where it says so in a body of status 200. The
    endpoint is not trusted: answers are bounded in time and size (:mod:`ospo_agents.policies.bounded_http`), and
    redirections to another server are not followed. The key is in no message of this class.

    Attributes:
        malformed: Completions of the last call without a rewrite; each gave the empty text, which earns 0. A completion
            in which the model wrote nothing (a refusal, or all tokens spent on reasoning) is one of them.

    Args:
        model: Its name at the endpoint.
        base_url: The endpoint, up to ``/v1``; by default ``$OPENAI_BASE_URL``, and without that OpenAI's own.
        api_key: Its key; by default ``$OPENAI_API_KEY``. A server that asks for none takes any word.
        timeout: Seconds from the start of a request to the end of its answer, each repetition anew; the look-up of the
            host's name is not counted.
        max_retries: Number of times that a request is repeated before it counts as failed, at least 0.
        concurrency: Requests under way at once, at least 1; the order of the texts is that of the prompts.
        prompt_format: Conversation made of a prompt, and place of the rewrite in a completion; by default
            that of any general model.
        temperature: Temperature of sampling, at least 0; None leaves it to the endpoint.
        max_tokens: Bound on a completion; None leaves it to the endpoint.
        seed: Seed of sampling, as far as the endpoint uses it; None sends none.
        progress: Called after each prompt with 1.

    Raises:
        AgentError: A setting is out of range, the key is not set, or openai is not installed.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        max_retries: int = 4,
        concurrency: int = 8,
        prompt_format: PromptFormat | None = None,
        temperature: float | None = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
        progress: Callable[[int], object] = lambda done: None,
    ) -> None:
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        key = (api_key or os.environ.get("OPENAI_API_KEY") or "").strip()
        _check_access(model, base_url, key)
        for setting, value, least in (
            ("timeout in seconds", timeout, 1e-3),
            ("max_retries", max_retries, 0),
            ("concurrency", concurrency, 1),
            ("temperature", temperature, 0),
            ("max_tokens", max_tokens, 1),
        ):
            if value is not None and not least <= value < math.inf:
                raise AgentError(f"expected {setting} of at least {least}; got {value}")
        openai = _openai()
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=key,
            timeout=timeout,
            max_retries=max_retries,
            http_client=bounded_client(
                openai, base_url or _OPENAI, seconds=timeout, connections=concurrency, status_of=_status_of
            ),
        )
        weakref.finalize(self, self._client.close)
        self._key = key
        self.model = model
        self.endpoint = _without_secrets(str(self._client.base_url))
        self.prompt_format = prompt_format or PromptFormat(INSTRUCTION, answer_tags=True)
        self.concurrency = concurrency
        self.progress = progress
        self.malformed = 0
        settings = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
        self._settings = {name: value for name, value in settings.items() if value is not None}

    def __call__(self, prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        """One rewrite for each prompt; a malformed completion gives the empty text, which earns 0.

        Raises:
            AgentError: A request failed, after its retries; no text of the call is returned then.
        """
        del prompt_ids
        rewrites: list[str | None] = []
        with ThreadPoolExecutor(self.concurrency) as executor:
            for completion in executor.map(self._complete, prompts):  # an error cancels what has not started
                rewrites.append(None if completion is None else self.prompt_format.rewrite(completion))
                self.progress(1)
        self.malformed = rewrites.count(None)
        return [rewrite or "" for rewrite in rewrites]

    def _complete(self, prompt: str) -> str | None:
        """Completion of the model; None where the endpoint says that it is empty."""
        openai = _openai()
        messages: Any = self.prompt_format.messages(prompt)
        try:
            answer = self._client.chat.completions.with_raw_response.create(
                model=self.model, messages=messages, **self._settings
            )
            body = answer.text
        except openai.APIStatusError as error:
            status, body = error.status_code, error.response.text
            if STATUS_SENT not in error.response.headers:
                advice = _ADVICE.get(status, _MOVED if 300 <= status < 400 else _ITS_LOG)
                raise self._failure(f"HTTP {status}", _message_of(body), advice) from None
        except openai.APITimeoutError:
            raise self._failure("no answer in time", "", "raise the timeout, or lower the concurrency") from None
        except openai.OpenAIError as error:
            cause = error.__cause__ or error
            if type(cause).__name__ == "DecodingError":
                raise self._failure("something else", str(cause), _NO_CHAT) from None
            raise self._failure("no answer", str(cause), "check OPENAI_BASE_URL and that the server runs") from None
        return self._content(body)

    def _content(self, body: str) -> str | None:
        """Content of a chat completion; some endpoints report failures of others in one with status 200."""
        try:
            answer = json.loads(body)
            choice = (answer.get("choices") or [{}])[0]
            errors = _errors_in(answer)
            ended_by_error = choice.get("finish_reason") == "error"
            content = None if errors else choice["message"]["content"]
        except _NOT_AS_EXPECTED:
            raise self._failure("something else", body, _NO_CHAT) from None
        if errors or ended_by_error:
            raise self._failure("an error in its place", json.dumps(errors[0]) if errors else "", _ITS_LOG)
        if content is not None and not isinstance(content, str):
            raise self._failure("something else", body, _NO_CHAT)
        return content

    def _failure(self, what: str, details: str, advice: str) -> AgentError:
        words = " ".join(_redacted(details, self._key).split())[:_LONGEST_REASON]
        reason = "".join(letter if letter.isprintable() else "\ufffd" for letter in words)
        return AgentError(
            f"endpoint {self.endpoint}, model {self.model!r}: expected a chat completion within "
            f"{self._client.max_retries} retries; got {what}" + (f": {reason}" if reason else "") + f"; {advice}"
        )


_NO_CHAT = "check that OPENAI_BASE_URL is that of a chat endpoint"
_MOVED = "it redirects to another server; check OPENAI_BASE_URL, or set it to that server"
_ITS_LOG = "wait, or look at the server's log"
_ADVICE = {
    400: "check the model's name and whether it takes these settings",
    401: "check the key (OPENAI_API_KEY)",
    403: "check what the key may do (OPENAI_API_KEY)",
    404: "check the model's name and the base URL (OPENAI_BASE_URL)",
    429: "wait, or lower the concurrency",
}


def _errors_in(answer: dict[str, Any]) -> list[Any]:
    """Errors that a chat completion reports, in its own field and in that of its first choice."""
    choice = (answer.get("choices") or [{}])[0]
    return [part["error"] for part in (answer, choice) if part.get("error") is not None]


def _status_of(status: int, headers: Mapping[str, str], body: bytes) -> int:
    """The status of an answer; of a success that is an error and asks to wait, the status that says so.

    >>> _status_of(200, {}, b'{"error": {"code": 503}}'), _status_of(200, {}, b'{"error": "Overloaded"}')
    (503, 429)
    >>> _status_of(200, {}, b'{"error": {"code": 401}}'), _status_of(404, {}, b'{"error": "overloaded"}')
    (200, 404)
    """
    if not 200 <= status < 300:
        return status
    try:
        errors = _errors_in(json.loads(body))
    except _NOT_AS_EXPECTED:
        return status
    for error in errors:
        fields = error if isinstance(error, dict) else {"message": error}
        code = str(fields.get("code"))
        if code.isascii() and code.isdigit() and (code in ("408", "409", "429") or 500 <= int(code[:4]) < 600):
            return int(code)
        words = " ".join(str(fields.get(name)) for name in ("code", "type", "message"))
        if headers.keys() & {"retry-after", "retry-after-ms"} or _WAIT.search(words):
            return 429
    return status


def _message_of(body: str) -> str:
    """Message of the endpoint in the body of a failure."""
    try:
        answer = json.loads(body)
        error = answer.get("error", answer)
        return str(error["message"] if isinstance(error, dict) else error)
    except _NOT_AS_EXPECTED:
        return body


def _openai() -> Any:
    try:
        import openai
    except ImportError as error:
        raise AgentError("a policy behind an endpoint needs openai: pip install 'ospo[endpoint]'") from error
    return openai


def _check_access(model: str, base_url: str | None, key: str) -> None:
    if not model:
        raise AgentError("expected the name of the endpoint's model, for example openai:my-model; got none")
    if base_url is not None and not _is_url(base_url):
        raise AgentError("expected a base URL (OPENAI_BASE_URL) such as http://localhost:8000/v1; got something else")
    if not key:
        raise AgentError(
            "expected the endpoint's key in OPENAI_API_KEY; it is not set. Where none is asked for, any word does"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AgentError("expected the endpoint's key (OPENAI_API_KEY) as one word of ASCII; it has other characters")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _without_secrets(url: str) -> str:
    """A URL without user, password and query.

    >>> _without_secrets("https://me:secret@example.org:8000/v1/?key=secret")
    'https://example.org:8000/v1'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _redacted(text: str, key: str) -> str:
    r"""A text without the key, also as JSON, ``repr`` or one within the other write it.

    >>> _redacted(r"no a'b, a\'b, a\u0027b, a\\\'b", "a'b")
    'no ***, ***, ***, ***'
    """
    letters = (rf"\\*(?:{re.escape(letter)}|u(?i:{ord(letter):04x}))" for letter in key)
    return re.sub(r"(?<!\\)" + "".join(letters), "***", text)  # from the first backslash, so that time is linear
