"""A server that speaks as much of Elasticsearch and OpenSearch as their official clients ask, with faults on demand.

It ranks by BM25 over lower-cased words, computed document by document.
"""

import base64
import functools
import json
import math
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

WORD = re.compile(r"\w+")


class Stub:
    """Indices by name, each a dictionary of documents by id, a document being fields by name.

    Attributes:
        faults: What happens to the next searches, one each: a status, ``(status, seconds to wait)``, ``"cut"``,
            ``"garbage"``, ``"shard"``, ``"item"`` (the first search of several is throttled), ``"few"``.
        seconds: How long each search takes.
        lives: Searches until it answers no more; ``None`` for any number.
        access: The header ``Authorization`` that is asked for, or ``None``.
        requests: Number of searches in each ``_msearch`` so far.
        most: Most requests at once.
        product: Whether it says that it is Elasticsearch.
    """

    def __init__(self):
        self.indices, self.faults, self.requests = {}, [], []
        self.seconds, self.access, self.product, self.stats = 0.0, None, True, True
        self.running = self.most = 0
        self.lives = None
        self.lock = threading.Lock()

    def search(self, index, body):
        documents = self.indices[index]
        match = body["query"]["bool"]["must"]["multi_match"]
        fields = {name: float(weight or 1) for name, _, weight in (field.partition("^") for field in match["fields"])}
        ((field, wanted),) = body["query"]["bool"].get("filter", {"terms": {"_id": None}})["terms"].items()
        texts = {name: [words(document.get(name, "")) for document in documents.values()] for name in fields}
        hits = []
        for doc_id, document in documents.items():
            value = doc_id if field == "_id" else document.get(field)
            if wanted is not None and value not in wanted:
                continue
            own = {name: words(document.get(name, "")) for name in fields}
            scores = [weight * weigh(match["query"], own[name], texts[name]) for name, weight in fields.items()]
            if max(scores) > 0:
                hit = {"_id": doc_id, "_score": max(scores)}
                hits.append(hit | {"fields": {name: [document[name]] for name in body.get("docvalue_fields", [])}})
        hits.sort(key=lambda hit: -hit["_score"])
        return {"status": 200, "timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": hits[: body["size"]]}}


@functools.lru_cache(maxsize=10_000)
def words(text):
    return WORD.findall(text.lower())


def bm25(query, name, document, documents):
    """Of one field, with k1 = 1.2 and b = .75."""
    return weigh(query, words(document.get(name, "")), [words(other.get(name, "")) for other in documents.values()])


def weigh(query, own, texts):
    filled = [text for text in texts if text]
    score = 0.0
    for word in words(query):
        if word in own:
            holding = sum(word in text for text in filled)
            idf = math.log(1 + (len(filled) - holding + 0.5) / (holding + 0.5))
            norm = 1.2 * (0.25 + 0.75 * len(own) / (sum(map(len, filled)) / len(filled)))
            score += idf * own.count(word) / (own.count(word) + norm)
    return score


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        address = urlsplit(self.path)
        index, _, action = unquote(address.path).strip("/").partition("/")
        stub, access = self.server.stub, self.headers.get("authorization")
        if stub.access is not None and access != stub.access:
            self.reply(401, error("security_exception", f"no access for {access}", 401))
        elif index not in stub.indices:
            self.reply(404, error("index_not_found_exception", f"no such index [{index}]", 404))
        elif action == "_msearch":
            self.searches(index, [json.loads(line) for line in content.splitlines()][1::2], "responses")
        elif action == "find":
            query = parse_qs(address.query, keep_blank_values=True)
            match = {"query": query["q"][0], "fields": ["text"]}
            body = {"query": {"bool": {"must": {"multi_match": match}}}, "size": int(query.get("k", ["5"])[0])}
            self.searches(index, [body], "found")
        else:
            documents = stub.indices[index]
            self.reply(*ACTIONS[action.partition("/")[0]](stub, index, documents, parse_qs(address.query), content))

    do_POST = do_GET

    def searches(self, index, bodies, shape):
        stub = self.server.stub
        with stub.lock:
            stub.running += 1
            stub.most = max(stub.most, stub.running)
            stub.requests.append(len(bodies))
            fault = stub.faults.pop(0) if stub.faults else None
            if stub.lives is not None:
                stub.lives -= 1
                fault = "cut" if stub.lives < 0 else fault
        time.sleep(stub.seconds)
        responses = [stub.search(index, body) for body in bodies]
        with stub.lock:
            stub.running -= 1
        if fault == "cut":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\ncontent-type: application/json\r\n\r\n{")
        elif fault == "garbage":
            self.reply(200, b"<html>all is well</html>")
        elif isinstance(fault, tuple):
            self.reply(fault[0], error("busy", "try later", fault[0]), retry_after=fault[1])
        elif isinstance(fault, int):
            self.reply(fault, error("busy", "the shop is closed", fault))
        else:
            self.reply(200, SHAPES[shape](spoilt(responses, fault)))

    def reply(self, status, content, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        if self.server.stub.product:
            self.send_header("X-Elastic-Product", "Elasticsearch")
        for name, value in {"content-type": "application/json", "content-length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)


def plain(responses):
    """Answers of a service of another make."""
    (response,) = responses
    hits = response["hits"]["hits"]
    found = [{"document": {"id": hit["_id"]}, "rating": hit["_score"]} for hit in hits]
    return {"page": 1, "found": found or None}


SHAPES = {"responses": lambda responses: {"took": 1, "responses": responses}, "found": plain}


def spoilt(responses, fault):
    if fault == "shard":
        responses[0]["_shards"]["failed"] = 1
    if fault == "item":
        responses[0] = error("es_rejected_execution_exception", "queue is full", 429)
    if fault == "few":
        responses.pop()
    return responses


def settings(stub, index, documents, query, content):
    return 200, {index: {"settings": {"index": {"uuid": f"uuid-of-{index}"}}}}


def stats(stub, index, documents, query, content):
    shards = {"0": [{"routing": {"primary": True}, "seq_no": {"max_seq_no": len(documents) - 1}}]}
    return (200, {"indices": {index: {"shards": shards}}}) if stub.stats else (403, error("no", "no privilege", 403))


def field_caps(stub, index, documents, query, content):
    known = {name for document in documents.values() for name in document} | {"_id"}
    asked = query["fields"][0].split(",") if "fields" in query else json.loads(content)["fields"]
    return 200, {"fields": {name: {"text": {}} for name in asked if name in known}}


def count(stub, index, documents, query, content):
    wanted = json.loads(content)["query"]
    if "match_all" in wanted:
        return 200, {"count": len(documents)}
    ((field, ids),) = wanted["terms"].items()
    values = [doc_id if field == "_id" else document.get(field) for doc_id, document in documents.items()]
    return 200, {"count": sum(value in set(ids) for value in values)}


ACTIONS = {"_settings": settings, "_stats": stats, "_field_caps": field_caps, "_count": count}


@contextmanager
def stub_server():
    """A running :class:`Stub`, its address, and the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.stub = True, Stub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.stub, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def error(kind, reason, status):
    cause = {"type": kind, "reason": reason}
    return {"error": {**cause, "root_cause": [cause]}, "status": status}


def basic(user, password):
    """The header of a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
