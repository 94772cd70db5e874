"""An endpoint that means harm: whatever it sends, the caller gets an error in bounded time and memory."""

import contextlib
import gzip
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from ospo_agents import AgentError
from ospo_agents.policies import bounded_http
from ospo_agents.policies.endpoint import EndpointPolicy
from paths import ROOT
from stub_endpoint import KEY, completion, echo, of_no_machine, stub_endpoint

openai = pytest.importorskip("openai")
RIGHT = json.dumps(completion("<answer>red</answer>")).encode()


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    of_no_machine(monkeypatch)


def ask(url, **settings):
    settings = {"timeout": 20, "max_retries": 1, **settings}
    return EndpointPolicy("stub", url, KEY, **settings)(["p0"], ["red shoe"])


def failure(url, **settings):
    with pytest.raises(AgentError) as caught:
        ask(url, **settings)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1000
    assert KEY not in message
    return message


def answering(status, body, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return stub_endpoint(lambda *_: (status, body, named))


def read_request(connection):
    """A whole request; False where the other side has closed the connection."""
    content = b""
    while not content.endswith(b"}"):
        piece = connection.recv(1 << 16)
        if not piece:
            return False
        content += piece
    return True


@contextlib.contextmanager
def raw_server(talk, reads=True):
    """A server that reads a request, if it reads, and then does what it likes with the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def serve(connection):
            with connection, contextlib.suppress(OSError):
                if reads:
                    read_request(connection)
                talk(connection, stop)

        def accept():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        finally:
            stop.set()
            server.shutdown(socket.SHUT_RDWR)


def test_packed_answers_are_read():
    with answering(200, gzip.compress(RIGHT), Content_Encoding="gzip") as stub:
        assert ask(stub.url) == ["red"]
    with answering(200, RIGHT, Content_Encoding="identity") as stub:
        assert ask(stub.url) == ["red"]


@pytest.mark.parametrize("status", [200, 500])
def test_a_body_without_end_is_cut_off(status):
    sent = []

    def talk(connection, stop):
        connection.sendall(f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\n\r\n".encode())
        while not stop.is_set():
            connection.sendall(b" " * (1 << 16))
            sent.append(1 << 16)

    with raw_server(talk) as url:
        assert "a body of more than 8,388,608 bytes" in failure(url)
    assert sum(sent) < 2 * (bounded_http.LARGEST_BODY + (16 << 20)), "what two requests and their buffers take"


@pytest.fixture(scope="module")
def bomb():
    """Less than a mebibyte, of 256 unpacked."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(256)), packer.flush()])
    assert len(packed) < 1 << 20
    return packed


@pytest.mark.parametrize("status", [200, 429])
def test_a_gzip_bomb_is_not_unpacked(bomb, status):
    with answering(status, bomb, Content_Encoding="gzip") as stub:
        tracemalloc.start()
        try:
            message = failure(stub.url)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert "a body of more than 8,388,608 bytes" in message
    assert peak < 64 << 20


@pytest.mark.parametrize(
    ("body", "coding", "got"),
    [
        (RIGHT, "gzip", "a body that is not gzip"),
        (gzip.compress(RIGHT)[:-9], "gzip", "a packed body that is cut off"),
        (RIGHT, "br", "a body packed as 'br', which was not asked for"),
        (RIGHT, "gzip, gzip", "a body packed as 'gzip, gzip', which"),
        (RIGHT, "\x1b[31m" * 99, "a body packed as"),
        (zlib.compress(RIGHT), "deflate", "a body packed as 'deflate'"),
    ],
)
def test_what_is_packed_wrong_is_an_error(body, coding, got):
    with answering(200, body, Content_Encoding=coding) as stub:
        assert f"got something else: {got}" in failure(stub.url)
        assert {json.dumps(request["messages"][-1]["content"]) for request in stub.requests} == {'"red shoe"'}


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    "body", [b"[" * 2_000_000, b'{"error":' * 500_000, b'{"choices":[' * 300_000, b"\\" * 5_000_000]
)
def test_deep_json_is_an_error_at_once(status, body):
    with answering(status, body) as stub:
        started = time.process_time()
        failure(stub.url)
        assert time.process_time() - started < 5


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("charset", ["zip", "hex", "rot13", "no-such", "utf-16", "idna", "undefined", '"'])
def test_the_charset_of_an_answer_does_not_matter(status, charset):
    with answering(status, RIGHT, Content_Type=f"application/json; charset={charset}") as stub:
        if status == 200:
            assert ask(stub.url) == ["red"]
        else:
            assert "got HTTP 500" in failure(stub.url)


def drips(head):
    def talk(connection, stop):
        for place in range(len(head)):
            if stop.wait(0.05):
                return
            connection.sendall(head[place : place + 1])

    return talk


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 50,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + b" " * 900,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 200,
    ],
    ids=["headers", "interim answers", "body", "chunks"],
)
def test_no_part_of_an_answer_may_drip_beyond_the_deadline(head):
    with raw_server(drips(head)) as url:
        started = time.perf_counter()
        message = failure(url, timeout=0.4, max_retries=1)
        assert 0.8 <= time.perf_counter() - started < 3, "twice the timeout; each part alone would take 40 s"
    assert "got no answer in time; raise the timeout" in message


def test_drips_within_the_deadline_are_an_answer():
    """The negative control of the test above."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(RIGHT)

    def talk(connection, stop):
        for place in range(len(head)):
            time.sleep(0.005)
            connection.sendall(head[place : place + 1])
        connection.sendall(RIGHT)
        stop.wait(5)

    with raw_server(talk) as url:
        assert ask(url) == ["red"]


def test_connections_are_used_again():
    """A deadline belongs to a request, not to the connection, which two requests share."""
    connections = []

    def talk(connection, stop):
        connections.append(connection)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(RIGHT)
        while not stop.is_set():
            connection.sendall(head + RIGHT)
            if not read_request(connection):
                return

    with raw_server(talk) as url:
        endpoint = EndpointPolicy("stub", url, KEY, timeout=0.5, concurrency=1, max_retries=0)
        for _ in range(3):
            assert endpoint(["p0"], ["red"]) == ["red"]
            time.sleep(0.3)
    assert len(connections) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A server's key and certificate, which signs itself."""
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl is not installed, which makes the server's certificate")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-keyout", str(path), "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def encrypted(certificate, talk):
    """What ``raw_server`` takes, with TLS; the request is read after the handshake."""

    def handshake(connection, stop):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with context.wrap_socket(connection, server_side=True) as stream:
            read_request(stream)
            talk(stream, stop)

    return handshake


def test_encrypted_answers_are_read_and_bounded(certificate, monkeypatch):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(RIGHT)

    def whole(connection, stop):
        connection.sendall(head + RIGHT)

    with raw_server(encrypted(certificate, whole), reads=False) as url:
        url = url.replace("http://127.0.0.1", "https://localhost")
        assert "got no answer: " in failure(url, max_retries=0), "nobody vouches for the certificate"
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        assert ask(url) == ["red"]
    with raw_server(encrypted(certificate, drips(head + RIGHT)), reads=False) as url:
        url = url.replace("http://127.0.0.1", "https://localhost")
        assert "got no answer in time" in failure(url, timeout=0.5)
    with raw_server(lambda connection, stop: stop.wait(20), reads=False) as url:  # silent in the handshake
        assert "got no answer in time" in failure(url.replace("http://", "https://"), timeout=0.5)


WAITS = [
    {"code": 429, "message": "slow down"},
    {"code": "503"},
    {"message": "Rate limit reached; please try again in 20ms"},
    {"type": "overloaded_error"},
    "Overloaded",
]


@pytest.mark.parametrize("error", WAITS, ids=str)
@pytest.mark.parametrize("place", ["whole", "choice"])
def test_a_success_that_asks_to_wait_is_asked_again(error, place):
    def answer(request, before):
        if before == 2:
            return echo(request, before)
        body = completion(None)
        (body if place == "whole" else body["choices"][0])["error"] = error
        return 200, body

    with stub_endpoint(answer) as stub:
        assert ask(stub.url, max_retries=2) == ["red shoe, rewritten"]
        assert len(stub.requests) == 3
    with stub_endpoint(answer) as stub:
        assert "within 1 retries; got an error in its place: " in failure(stub.url, max_retries=1)
        assert len(stub.requests) == 2


def test_the_pause_that_is_asked_for_is_made():
    def answer(request, before):
        return echo(request, before) if before else (200, {"error": {"message": "not now"}}, {"Retry-After-Ms": "300"})

    with stub_endpoint(answer) as stub:
        started = time.perf_counter()
        assert ask(stub.url) == ["red shoe, rewritten"]
        assert time.perf_counter() - started >= 0.3


@pytest.mark.parametrize(
    "error", [{"code": 401}, {"code": 400, "message": "no such model"}, {"code": None}, "bad", 7, []]
)
def test_a_success_that_is_another_error_is_asked_once(error):
    with answering(200, {"error": error}) as stub:
        assert "got an error in its place" in failure(stub.url, max_retries=3)
        assert len(stub.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_to_another_server_is_not_followed(status):
    with stub_endpoint() as other:
        for target in (
            other.url,
            other.url.replace("127.0.0.1", "localhost"),
            "https://127.0.0.1/v1",
            "file:///etc/hosts",
        ):
            with answering(status, b"moved", Location=f"{target}/chat/completions") as stub:
                message = failure(stub.url)
                assert f"got HTTP {status}: moved; it redirects to another server" in message
                assert len(stub.requests) == 1
        assert other.requests == [], "neither prompts nor the key went there"


def test_a_redirection_within_the_server_is_followed():
    def answer(request, before):
        return (307, b"", {"Location": "/v1/chat/completions?again"}) if before == 0 else echo(request, before)

    with stub_endpoint(answer) as stub:
        assert ask(stub.url) == ["red shoe, rewritten"]
        assert len(stub.requests) == 2
    with answering(307, b"", Location="/v1/chat/completions") as stub:
        failure(stub.url, timeout=3, max_retries=0)
        assert 2 < len(stub.requests) < 50, "round and round, within bounds"


JUNK = [
    b"",
    b"\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"HTTP/1.1 999 \xff\xfe\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 429 Busy\r\nRetry-After: nan\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 429 Busy\r\nRetry-After: 1e999\r\nRetry-After-Ms: x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 307 Moved\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 307 Moved\r\nLocation: \xff\xfe:\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000,
]


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk[:60]))
def test_what_is_no_answer_is_an_error(junk):
    with raw_server(lambda connection, _: connection.sendall(junk)) as url:
        failure(url, timeout=3)


def test_what_an_endpoint_says_cannot_move_a_cursor():
    with answering(404, {"error": {"message": "\x1b]0;owned\x07\x1b[2Jno \u202e model\x85"}}) as stub:
        assert "got HTTP 404: \ufffd]0;owned\ufffd\ufffd[2Jno" in failure(stub.url)


def test_a_proxy_of_the_environment_is_used(monkeypatch):
    seen = []

    def talk(connection, stop):
        seen.append(1)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(RIGHT) + RIGHT)

    with raw_server(talk) as url:
        monkeypatch.setenv("http_proxy", url.removesuffix("/v1"))
        assert ask("http://nowhere.invalid/v1") == ["red"]
        monkeypatch.setenv("no_proxy", "nowhere.invalid")
        assert "got no answer" in failure("http://nowhere.invalid/v1", max_retries=0)
    assert seen == [1]


@pytest.mark.parametrize("proxy", ["http://[::1", "gopher://host:70", "http://host:port", "socks5://hunter2@host:1"])
def test_a_proxy_that_cannot_be_used_is_an_error(monkeypatch, proxy):
    monkeypatch.setenv("all_proxy", proxy)
    try:
        import socksio  # noqa: F401
    except ImportError:
        pass
    else:
        if proxy.startswith("socks"):
            pytest.skip("socksio is installed, so that this proxy could be used")
    with pytest.raises(AgentError, match="expected a proxy in the environment") as caught:
        EndpointPolicy("stub", "http://nowhere.invalid/v1", KEY)
    assert "hunter2" not in str(caught.value)


OTHER = os.environ.get("OSPO_OPENAI_2")


@pytest.mark.skipif(
    not OTHER,
    reason="the other major of openai is not here; pip install -t DIRECTORY 'openai>=2.54,<3', and set "
    "OSPO_OPENAI_2=DIRECTORY",
)
def test_the_other_major_passes_too():
    """All tests of the endpoint with openai 2 and the HTTP client that it uses, from a directory of its own."""
    path = os.pathsep.join([OTHER, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    environment = {name: value for name, value in os.environ.items() if name != "OSPO_OPENAI_2"} | {"PYTHONPATH": path}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

    program = "import httpx, openai; print(openai.__version__, issubclass(openai.DefaultHttpxClient, httpx.Client))"
    assert re.fullmatch(r"2\.\d+\.\d+ True\n", run("-c", program).stdout)
    here = Path(__file__).parent
    done = run("-m", "pytest", "-q", *(str(here / f"test_endpoint_{name}.py") for name in ("attacks", "policy")))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def test_the_http_client_is_openais_own():
    endpoint = EndpointPolicy("stub", "http://127.0.0.1:1/v1", KEY)
    expected = {"2": "httpx", "3": "httpx2"}[openai.__version__.partition(".")[0]]
    assert type(endpoint._client._client).__mro__[1].__module__.partition(".")[0] == expected
