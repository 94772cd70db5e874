"""A chat endpoint on this machine, in a thread: it answers what it is told to, and remembers what it was asked."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-'never\\shown"  # with what quoting changes


def completion(content):
    """A body as such endpoints write it."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "stub", "choices": [choice]}


class Stub:
    """The endpoint.

    ``answer`` is a function of a request's body and of how often this prompt was asked before; it gives a status, a
    body (bytes as they are, anything else as JSON) and, if it likes, headers.
    """

    def __init__(self, url, answer):
        self.url = url
        self.answer = answer
        self.requests = []
        self.authorizations = set()
        self.lock = threading.Lock()


def prompt_of(request):
    return request["messages"][-1]["content"]


def echo(request, before):
    """Each prompt's own rewrite."""
    return 200, completion(f"Hm. <answer>{prompt_of(request)}, rewritten</answer>")


def of_no_machine(monkeypatch):
    """No setting of the machine reaches a test, and pauses between retries are short."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    import openai._base_client

    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)


@contextmanager
def stub_endpoint(answer=echo, drip=None):
    """The endpoint while it runs; with ``drip`` each byte of a body comes so many seconds after the one before."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                before = sum(prompt_of(request) == prompt_of(other) for other in stub.requests)
                stub.requests.append(request)
                stub.authorizations.add((self.path, self.headers["Authorization"]))
            status, body, headers = (*stub.answer(request, before), {})[:3]
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            try:
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/json", "Content-Length": str(len(content)), **headers
                }.items():  # fmt: skip
                    self.send_header(name, value)
                self.end_headers()
                for piece in [content] if drip is None else (content[i : i + 1] for i in range(len(content))):
                    self.wfile.write(piece)
                    time.sleep(drip or 0)
            except OSError:
                pass  # the client had waited long enough

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub = Stub(f"http://127.0.0.1:{server.server_port}/v1", answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
