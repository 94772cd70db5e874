"""Connections to PostgreSQL: opened from an environment variable, shared by threads, read only."""

import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ospo_env.errors import RetrieverError, TaskError
from ospo_env.retrievers.engines.access import hidden, secret
from ospo_env.retrievers.engines.requests import Unavailable, Unreachable

__all__ = ["Connections"]


class Connections:
    """Idle connections of this process to one database.

    Pickles as the name of the variable; a fork opens its own. Each statement runs in a transaction, read only and with
    a time limit, so that a pool of connections such as PgBouncer may stand between.

    Args:
        kind: Name of the retriever, for messages.
        variable: Environment variable that holds the connection string; it is read whenever a connection is opened.

    Raises:
        TaskError: The variable is not set, or holds no connection string.
    """

    def __init__(self, kind: str, variable: str) -> None:
        self._kind = kind
        self.variable = variable
        self._idle: list[Any] = []
        self._process = os.getpid()
        weakref.finalize(self, _close, self._idle, self._process)
        self._secrets()

    def rows(self, statement: Any, parameters: Sequence[Any], seconds: float) -> list[tuple[Any, ...]]:
        """Rows that a statement gives.

        Args:
            statement: A composed statement.
            parameters: Its parameters.
            seconds: Time limit.

        Raises:
            Unavailable: The database cannot be reached, or took longer.
            RetrieverError: The statement failed.
        """
        import psycopg

        try:
            with self._connection(seconds) as connection, connection.transaction():
                limit = str(max(int(seconds * 1000), 1))
                connection.execute("select set_config('statement_timeout', %s, true)", [limit])
                rows: list[tuple[Any, ...]] = connection.execute(statement, parameters).fetchall()
                return rows
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable(f"the database that ${self.variable} names: {self._reason(error)}") from None
        except psycopg.Error as error:
            raise RetrieverError(f"the database that ${self.variable} names: {self._reason(error)}") from None

    def __reduce__(self) -> tuple[type["Connections"], tuple[str, str]]:
        return Connections, (self._kind, self.variable)

    @contextmanager
    def _connection(self, seconds: float) -> Iterator[Any]:
        """An idle connection, or a new one; one that failed is closed."""
        if self._process != os.getpid():
            self._idle, self._process = [], os.getpid()  # those of the parent are left alone
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect(seconds)
        try:
            yield connection
        except BaseException:
            with suppress(Exception):
                connection.close()
            raise
        self._idle.append(connection)

    def _connect(self, seconds: float) -> Any:
        import psycopg

        dsn = secret(self._kind, "dsn_env", self.variable)
        try:
            connection = psycopg.connect(dsn, connect_timeout=max(int(seconds), 2), prepare_threshold=None)
        except psycopg.OperationalError as error:
            raise Unreachable(f"the database that ${self.variable} names: {self._reason(error)}") from None
        connection.read_only = True
        return connection

    def _secrets(self) -> list[str]:
        """The connection string and the password in it."""
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        dsn = secret(self._kind, "dsn_env", self.variable)
        try:
            parts = conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:
            raise TaskError(
                f"expected a connection string of PostgreSQL in ${self.variable}, such as 'host=... dbname=...' or "
                "postgresql://...; got something else, which is not shown since it may hold a password"
            ) from None
        return [dsn, *(str(parts[name]) for name in ("password", "sslpassword") if parts.get(name))]

    def _reason(self, error: Exception) -> str:
        return hidden(error, self._secrets())


def _close(idle: list[Any], process: int) -> None:
    """Close connections, in the process that opened them."""
    if process == os.getpid():
        for connection in idle:
            with suppress(Exception):
                connection.close()
