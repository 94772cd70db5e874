"""A private PostgreSQL for tests: a cluster in a new directory that listens on a Unix socket alone, with a password."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "pass/word:hunter22"
_INITDB = ("-U", "shop", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8")
_SETTINGS = ("fsync=off", "shared_buffers=16MB", "max_connections=20", "listen_addresses=", "autovacuum=off")


def debian_binaries():
    """Directory of the newest PostgreSQL of Debian, or ``None``."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def pgserver_binaries():
    """Directory of the PostgreSQL with pgvector in the package ``pgserver``, or ``None``."""
    spec = importlib.util.find_spec("pgserver")
    path = spec and Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    return path if path and (path / "initdb").exists() else None


class Unusable(Exception):
    """No cluster can be started here."""


@contextmanager
def cluster(binaries):
    """A running cluster; yields its connection string and a function that stops it at once.

    ``initdb`` refuses to run as root, which then runs it as another user.
    """
    user = _ordinary_user() if os.getuid() == 0 else None
    as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="ospo-pg-", dir="/tmp"))  # a socket's path has to be short
    server = None
    try:
        (folder / "password").write_text(PASSWORD)
        for path in (folder, folder / "password"):
            if user is not None:
                os.chown(path, user.pw_uid, user.pw_gid)
        call = {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **as_user}
        made = subprocess.run(
            [binaries / "initdb", "-D", folder / "data", *_INITDB, f"--pwfile={folder}/password"],
            capture_output=True,
            **call,
        )
        if made.returncode:
            raise Unusable(f"initdb fails: {made.stderr.decode()[-200:]}")
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", "-k", folder, *settings], stdout=log, stderr=log, **call
            )
        dsn = f"host={folder} user=shop dbname=postgres password='{PASSWORD}'"
        _wait_for(dsn, folder / "log", server)
        yield dsn, lambda: _stop(server)
    finally:
        if server is not None:
            _stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def _ordinary_user():
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise Unusable("root has no ordinary user to run initdb as")


def _wait_for(dsn, log, server):
    import psycopg

    for _ in range(200):
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            if server.poll() is not None:
                raise Unusable(f"postgres ends: {log.read_text()[-200:]}") from None
            time.sleep(0.05)
        else:
            return
    raise Unusable(f"postgres does not start: {log.read_text()[-200:]}")


def _stop(server):
    if server.poll() is None:
        server.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed any more
        server.wait(timeout=30)
