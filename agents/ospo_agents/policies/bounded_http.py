"""HTTP for the library openai with a bound on the time and the size of an answer.

A client's own timeout bounds the wait for each piece of an answer, and nothing bounds its size: a server that sends a
byte a second, or a small body that unpacks to gigabytes, would hold up its caller without end. openai 3 uses httpx2 and
openai 2 uses httpx; "httpx" means either here, and "httpcore" the library below it.
"""

import importlib
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from ospo_agents.errors import AgentError

__all__ = ["LARGEST_BODY", "STATUS_SENT", "bounded_client"]

LARGEST_BODY = 8 * 2**20
"""Bytes of a body, as sent and unpacked, beyond which it is no answer; completions are kilobytes."""

STATUS_SENT = "ospo-status-sent"
"""Header of an answer whose status was changed: the status that the server sent."""

StatusOf: TypeAlias = Callable[[int, Mapping[str, str], bytes], int]
"""From the status, some headers and the body of an answer to the status that openai is to see."""

_ENDS = "ospo_ends"  # extension of a request: the moment by which its answer must be whole; redirections keep it
_KEPT = ("retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "location")


def bounded_client(
    openai: Any,
    url: str,
    *,
    seconds: float,
    connections: int,
    status_of: Callable[[int, Mapping[str, str], bytes], int],
) -> Any:
    """An HTTP client for ``openai.OpenAI(http_client=...)``.

    An answer is an error of httpx if it is not whole in time, is larger than :data:`LARGEST_BODY`, or is packed
    otherwise than by gzip; openai repeats the request and then raises an error of its own. A redirection to another
    server is not followed. Bodies are read as UTF-8, whatever their header names.

    Args:
        openai: The module.
        url: The endpoint, by which a proxy is taken from the environment.
        seconds: From the start of a request to the end of its answer, each repetition anew.
        connections: Requests under way at once.
        status_of: Changes the status of an answer.

    Raises:
        AgentError: A proxy that the environment names cannot be used.
    """
    httpx = _httpx_of(openai)
    httpcore = importlib.import_module({"httpx": "httpcore", "httpx2": "httpcore2"}[httpx.__name__])
    backend = _Backend(httpcore)
    pool = _pool(httpx, httpcore, url, network_backend=backend, max_connections=connections)
    transport = _Transport(httpx, httpcore, pool, backend, seconds, status_of)
    return openai.DefaultHttpxClient(transport=transport, timeout=seconds, headers={"Accept-Encoding": "gzip"})


def _httpx_of(openai: Any) -> Any:
    """The module whose client openai's own is made from."""
    names = (base.__module__.partition(".")[0] for base in openai.DefaultHttpxClient.__mro__)
    return importlib.import_module(next(name for name in names if name in ("httpx", "httpx2")))


def _pool(httpx: Any, httpcore: Any, url: str, **settings: Any) -> Any:
    """Connections to a server, through the proxy that the environment names for it, if any."""
    target = httpx.URL(url)
    proxies = urllib.request.getproxies()
    address = proxies.get(target.scheme) or proxies.get("all")
    if urllib.request.proxy_bypass(target.host if target.port is None else f"{target.host}:{target.port}"):
        address = None
    settings["ssl_context"] = httpx.create_ssl_context()
    if not address:
        return httpcore.ConnectionPool(**settings)
    try:
        proxy = httpx.Proxy(address if "://" in address else f"http://{address}")
        kind = httpcore.SOCKSProxy if proxy.url.scheme.startswith("socks") else httpcore.HTTPProxy
        return kind(proxy_url=_core_url(httpcore, proxy.url), proxy_auth=proxy.raw_auth, **settings)
    except (httpx.InvalidURL, ValueError, RuntimeError, ImportError) as error:
        raise AgentError(
            "expected a proxy in the environment (HTTPS_PROXY, ALL_PROXY, ...) that can be used, such as "
            f"http://host:port; got one that cannot: {type(error).__name__}"
        ) from None


def _core_url(httpcore: Any, url: Any) -> Any:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


class _Transport:
    """Transport of httpx on connections of httpcore, which gives whole answers within bounds."""

    def __init__(
        self,
        httpx: Any,
        httpcore: Any,
        pool: Any,
        backend: "_Backend",
        seconds: float,
        status_of: StatusOf,
    ) -> None:
        self._httpx = httpx
        self._httpcore = httpcore
        self._pool = pool
        self._backend = backend
        self._seconds = seconds
        self._status_of = status_of
        self._errors = tuple(
            getattr(httpcore, name)
            for name in ("TimeoutException", "NetworkError", "ProtocolError", "ProxyError", "UnsupportedProtocol")
        )

    def handle_request(self, request: Any) -> Any:
        """The answer to a request, its body read."""
        request.extensions = {_ENDS: time.monotonic() + self._seconds, **request.extensions}
        self._backend.ends = request.extensions[_ENDS]
        core_request = self._httpcore.Request(
            request.method,
            _core_url(self._httpcore, request.url),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            answer = self._pool.handle_request(core_request)
            try:
                headers = self._httpx.Headers(answer.headers)
                body = _unpacked(answer.stream, headers.get("content-encoding", "identity").strip().lower())
            finally:
                answer.close()
        except self._errors as error:
            raise getattr(self._httpx, type(error).__name__)(str(error), request=request) from error
        except _UnreadableBody as error:
            raise self._httpx.DecodingError(str(error), request=request) from error
        fields = {name: headers[name] for name in _KEPT if headers.get(name, "").isascii() and name in headers}
        if "location" in fields and not self._same_server(request.url, fields["location"]):
            del fields["location"]
        status = self._status_of(answer.status, fields, body)
        if status != answer.status:
            fields[STATUS_SENT] = str(answer.status)
        return self._httpx.Response(status, headers={**fields, "content-type": "application/json"}, content=body)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _same_server(self, url: Any, location: str) -> bool:
        """Whether a redirection stays with the server, which may move to https."""
        try:
            target = url.join(location)
        except (self._httpx.InvalidURL, ValueError):
            return False
        address = (target.scheme, target.host, target.port)
        encrypted = url.scheme == "http" and url.port is None and address == ("https", url.host, None)
        return encrypted or address == (url.scheme, url.host, url.port)


class _UnreadableBody(Exception):
    """A body that is too large, or packed in a way that cannot be read."""


def _unpacked(pieces: Iterable[bytes], coding: str) -> bytes:
    """A whole body, unpacked, of at most :data:`LARGEST_BODY` bytes before and after."""
    if coding not in ("identity", "", "gzip", "x-gzip"):
        raise _UnreadableBody(f"a body packed as {coding[:20]!r}, which was not asked for")
    unpacker = None if coding in ("identity", "") else zlib.decompressobj(31)  # 31: with the header of gzip
    received, body = 0, bytearray()
    for piece in pieces:
        received += len(piece)
        try:
            body += piece if unpacker is None else unpacker.decompress(piece, LARGEST_BODY + 1 - len(body))
        except zlib.error as error:
            raise _UnreadableBody(f"a body that is not gzip, as its header says: {error}") from error
        if max(received, len(body)) > LARGEST_BODY:
            raise _UnreadableBody(f"a body of more than {LARGEST_BODY:,} bytes")
    if unpacker is not None and received and not unpacker.eof:
        raise _UnreadableBody("a packed body that is cut off")
    return bytes(body)


class _Backend:
    """Opens connections whose every wait ends by a moment of the monotonic clock, each thread's own."""

    def __init__(self, httpcore: Any) -> None:
        self._httpcore = httpcore
        self._backend = httpcore.SyncBackend()
        self._thread = threading.local()

    @property
    def ends(self) -> float:
        """The moment by which this thread's answer must be whole."""
        return float(self._thread.ends)

    @ends.setter
    def ends(self, moment: float) -> None:
        self._thread.ends = moment

    def left(self, timeout: float | None) -> float:
        """Seconds that a wait may last."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise self._httpcore.ReadTimeout("the answer was not whole in time")
        return left if timeout is None else min(timeout, left)

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **settings: Any) -> "_Stream":
        """A connection."""
        return _Stream(self._backend.connect_tcp(host, port, self.left(timeout), **settings), self)


class _Stream:
    """A connection with bounded waits."""

    def __init__(self, stream: Any, backend: _Backend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes, at most ``max_bytes``."""
        content: bytes = self._stream.read(max_bytes, self._backend.left(timeout))
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes."""
        self._stream.write(buffer, self._backend.left(timeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_Stream":
        """The same connection, encrypted."""
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._backend.left(timeout)), self._backend)

    def get_extra_info(self, info: str) -> Any:
        """Properties of the socket, for httpcore."""
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
