"""``ospo serve`` on a thread of this process, on a port of its own."""

import threading
import time

from ospo_cli import serve


class RewriteServer:
    """A running server, as a context.

    Attributes:
        port: Its port.

    Args:
        arguments: Arguments of ``ospo serve``; the port they name is not taken.
        app: An application to serve in place of the one that the arguments open.
    """

    def __init__(self, *arguments, app=None):
        parsed = serve.parse([*map(str, arguments), "--port", "0"])
        self._listening = serve.listen(parsed)
        self.port = self._listening.getsockname()[1]
        self._server = serve.make_server(parsed, app)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listening]}, daemon=True)

    def __enter__(self):
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self

    def __exit__(self, *error):
        self._server.should_exit = True
        self._thread.join(30)
        self._listening.close()
        assert not self._thread.is_alive()
