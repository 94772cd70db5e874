"""The HTTP face of a rewrite service: one FastAPI application."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Response
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from envs_data.errors import one_line
from ospo_cli._serve.metrics import Metrics
from ospo_cli._serve.records import Request
from ospo_cli._serve.service import Service
from ospo_env import RetrieverError
from ospo_env.text import clean_text

__all__ = ["make_app"]

_ROUTE = "/rewrite"
_MOST_PURCHASES = 100
_BYTES = 65_536  # a character has 12 bytes at most, as two escapes
_BYTES_A_CHARACTER = 12


class RewriteRequest(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str = Field(description="Text that the shopper typed")
    history: list[str] = Field(default=[], max_length=_MOST_PURCHASES, description="Earlier purchases, oldest first")
    guard: bool = Field(default=False, description="Serve the raw query if the guard's rule says so")
    phrases: bool = Field(default=False, description="Say which phrase causes the ranking")


class RewritePhrase(BaseModel):
    """A phrase of a rewrite, by the places of its characters."""

    start: int
    end: int
    text: str
    credit: float = Field(description="Its part in causing the ranking of the whole rewrite")


class RewriteAnswer(BaseModel):
    """The body of an answer."""

    rewrite: str = Field(description="The rewrite that is served")
    sent: str = Field(description="Text for the engine")
    reason: str | None = Field(description="Why the raw query is served; null for the policy's rewrite")
    phrases: list[RewritePhrase] | None = Field(default=None, description="Phrases, if the request asked for them")


def make_app(service: Service, facts: Mapping[str, Any], *, longest: int = 1000) -> FastAPI:
    """The application: ``POST /rewrite``, ``GET /health`` and ``GET /metrics``.

    Args:
        service: Answers requests.
        facts: JSON-able facts that ``/health`` tells beside the status.
        longest: Characters of a query and its history together, at most.
    """
    app = FastAPI(
        title="OSPO rewrite service",
        docs_url=None,  # pages that fetch scripts from elsewhere
        redoc_url=None,
        max_body_size=_BYTES + _BYTES_A_CHARACTER * longest,
    )
    app.add_middleware(_Counted, metrics=service.metrics)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)

    @app.post(_ROUTE)
    async def rewrite(body: RewriteRequest) -> RewriteAnswer:
        query, history = clean_text(body.query), tuple(map(clean_text, body.history))
        _check(service, body, sum(map(len, (query, *history))), longest)
        try:
            answer = await service(Request(query, history, body.guard, body.phrases))
        except RetrieverError as error:
            raise HTTPException(502, "the engine failed; the server's log says how") from error
        except Exception as error:
            raise HTTPException(500, "the policy failed; the server's log says how") from error
        phrases = None if answer.phrases is None else [RewritePhrase(**one._asdict()) for one in answer.phrases]
        return RewriteAnswer(rewrite=answer.rewrite, sent=answer.sent, reason=answer.reason, phrases=phrases)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", **facts}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def _check(service: Service, body: RewriteRequest, characters: int, longest: int) -> None:
    if not body.query.strip():
        raise HTTPException(422, "query: expected a text that is not blank")
    if characters > longest:
        raise HTTPException(
            422, f"query: expected at most {longest:,} characters, those of the history included; got {characters:,}"
        )
    if body.guard and service.answers.guard is None:
        raise HTTPException(422, "guard: this server has none; start it with --guard THRESHOLD, or leave guard out")


class _Counted:
    """Counts requests for rewrites by status, and their seconds."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != _ROUTE:
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(str(message["status"])).inc()
                self._metrics.seconds.observe(time.perf_counter() - start)
            await send(message)

        await self._app(scope, receive, counted)


def _invalid(request: HttpRequest, error: Exception) -> JSONResponse:
    """One line for the first fault of a body, which is not repeated."""
    faults: Sequence[Mapping[str, Any]] = error.errors() if isinstance(error, RequestValidationError) else ()
    first = faults[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or "body"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return _error(422, f"{place}: {first['msg']}{more}")


def _refused(request: HttpRequest, error: Exception) -> JSONResponse:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return _error(status, detail)


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": one_line(clean_text(message), 300)}, status)
