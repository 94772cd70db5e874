"""A server that takes its time: ``python slow_server.py FILE SECONDS`` answers each query after as many seconds.

FILE holds document ids, one a line. The server prints its port. To a query it gives the ids behind a place that depends
on the query, in JSON, with falling scores. A program of its own, so that its work is not that of the process timed.
"""

import itertools
import json
import sys
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    ids: list[str]
    seconds: float

    def do_GET(self) -> None:
        """Answer a query."""
        start = time.monotonic()
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        first = zlib.crc32(query["q"][0].encode()) % len(self.ids)
        chosen = itertools.islice(itertools.cycle(self.ids), first, first + min(int(query["k"][0]), len(self.ids)))
        hits = [{"id": doc_id, "score": 1 / (2 + place)} for place, doc_id in enumerate(chosen)]
        body = json.dumps({"hits": hits}).encode()
        time.sleep(max(self.seconds - (time.monotonic() - start), 0.0))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing: a line a request would cost more than the answer."""


def serve(file: str, seconds: str) -> None:
    """Serve until the process is killed."""
    _Handler.ids = Path(file).read_text(encoding="utf-8").splitlines()
    _Handler.seconds = float(seconds)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:])
