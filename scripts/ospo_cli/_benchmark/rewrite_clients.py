"""Clients of a rewrite service: ``python rewrite_clients.py PORT CLIENTS REQUESTS`` sends queries, and times answers.

Queries are read from standard input, one a line. Each client has a connection of its own and sends its next query when
it has the answer to the last one; together they send as many requests, going round the queries. Printed are, in JSON,
the seconds of each answer and of all. A program of its own, so that its work is not that of the process timed.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator


async def _client(port: int, bodies: Iterator[bytes], seconds: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in bodies:
        start = time.perf_counter()
        head = f"POST /rewrite HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        lines = answer.decode("latin-1").lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
        content = json.loads(await reader.readexactly(length))
        if " 200 " not in lines[0] or content["reason"] == "timeout":
            raise RuntimeError(f"expected a rewrite; got {lines[0]}, {content}")
        seconds.append(time.perf_counter() - start)
    writer.close()


async def _clients(port: int, clients: int, requests: int, queries: list[str]) -> None:
    encoded = [json.dumps({"query": query}).encode() for query in queries]
    bodies = itertools.islice(itertools.cycle(encoded), requests)  # shared: each query goes to whoever is free
    seconds: list[float] = []
    start = time.perf_counter()
    await asyncio.gather(*(_client(port, bodies, seconds) for _ in range(clients)))
    json.dump({"seconds": seconds, "all": time.perf_counter() - start}, sys.stdout)


if __name__ == "__main__":
    _port, _number, _requests = map(int, sys.argv[1:])
    asyncio.run(_clients(_port, _number, _requests, sys.stdin.read().splitlines()))
