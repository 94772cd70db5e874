"""Episodes a second of ``ospo serve-env`` over WebSocket: ``python examples/openenv/load.py [SESSIONS [EPISODES]]``.

Server and client are two processes on one machine. Where others compete for its cores, episodes for each second that
the server computed (Linux alone) say more than those of the clock.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import websockets

WORDS = ("slide", "sandal", "womens", "suede", "shearling", "moulded", "rubber", "tangerine", "coat", "wool", "red")


async def session(url: str, number: int, episodes: int, together: asyncio.Barrier) -> None:
    """Some episodes of one session, once all are connected."""
    async with websockets.connect(url, compression=None, open_timeout=120) as connection:
        await together.wait()
        for episode in range(episodes):
            text = ", ".join(WORDS[(number * step + episode) % len(WORDS)] for step in (1, 2, 3))
            for kind, data in (("reset", {"seed": episode}), ("step", {"text": text})):
                await connection.send(json.dumps({"type": kind, "data": data}))
                reply = json.loads(await connection.recv())
                assert reply["type"] == "observation", reply


async def measure(url: str, pid: int, sessions: int, episodes: int) -> None:
    """Print episodes a second."""
    together = asyncio.Barrier(sessions + 1)
    running = [asyncio.create_task(session(url, number, episodes, together)) for number in range(sessions)]
    await together.wait()
    start, computed = time.perf_counter(), cpu_seconds(pid)
    await asyncio.gather(*running)
    seconds, computed = time.perf_counter() - start, cpu_seconds(pid) - computed
    print(f"{sessions} sessions: {sessions * episodes / seconds:,.0f} episodes a second")  # noqa: T201
    if computed:
        print(f"{sessions * episodes / computed:,.0f} episodes a second of the server's computing")  # noqa: T201


def cpu_seconds(pid: int) -> float:
    """Seconds that a process has computed; 0 where the system does not say."""
    stat = Path(f"/proc/{pid}/stat")
    fields = stat.read_text().rpartition(")")[2].split() if stat.exists() else ["0"] * 13
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sessions, episodes = (*map(int, sys.argv[1:]), *(256, 40)[len(sys.argv) - 1 :])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "ospo_cli", "serve-env", "--port", str(port)]
    server = subprocess.Popen([*command, "--sessions", str(sessions)])
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert server.poll() is None, "the server did not start"
            time.sleep(0.2)
        asyncio.run(measure(f"ws://127.0.0.1:{port}/ws", server.pid, sessions, episodes))
    finally:
        server.terminate()
        server.wait()
