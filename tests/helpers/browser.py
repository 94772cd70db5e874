"""A page in headless Chromium, over DevTools' pipe: what it shows, what it complains about, how it looks.

The page itself is opened, not a copy with a script in it; DevTools' questions are outside of its security policy.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

CHROMIUM = shutil.which("chromium")
ABSENT = "chromium is not installed (Debian: apt-get install chromium)"
_PATIENCE = 60.0

_IMAGES = """JSON.stringify([...document.images].map(image => [image.alt, image.complete && image.naturalWidth > 0]))"""
_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


class Page:
    """An open page."""

    def __init__(self, process):
        self._process = process
        self._asked = 0
        self._session = None
        self.complaints = []  # console errors and warnings, exceptions, refused loads
        self.requests = []  # addresses of everything but the page and data: URIs

    def open(self, path, *, width=1200, dark=False):
        """Load a file and wait until it is there."""
        self._address, self._session = Path(path).resolve().as_uri(), None
        targets = self._ask("Target.getTargets")["targetInfos"]
        target = next(found["targetId"] for found in targets if found["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("Page.navigate", url=self._address)
        while self.value("document.readyState + location.href") != f"complete{self._address}":
            time.sleep(0.02)
        self.value("new Promise(drawn => setTimeout(drawn, 100))")  # complaints come a little later

    def value(self, expression):
        """What a JavaScript expression is."""
        given = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        return self._ask("Runtime.evaluate", **given)["result"].get("value")

    def images(self):
        """Alternative text of each image, and whether it was drawn."""
        return json.loads(self.value(_IMAGES))

    def text(self):
        """What a reader sees."""
        return self.value("document.body.innerText")

    def scrolls_sideways(self):
        return self.value(_WIDE)

    def screenshot(self, path):
        """The whole page as a PNG file."""
        shot = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def _ask(self, method, **parameters):
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._asked:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _read(self):
        content = bytearray()
        while (byte := self._process.stdout.read(1)) != b"\0":
            assert byte, "chromium ended"
            content += byte
        return json.loads(content)

    def _note(self, event):
        name, about = event.get("method"), event.get("params", {})
        if name == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"]["text"])
        elif name == "Runtime.consoleAPICalled":
            self.complaints.append(f"{about['type']}: {about['args']}")
        elif name == "Log.entryAdded":
            self.complaints.append(about["entry"]["text"])
        elif name == "Network.requestWillBeSent":
            address = about["request"]["url"]
            if address != self._address and not address.startswith("data:"):
                self.requests.append(address)


@contextlib.contextmanager
def browser(scratch):
    """A page to open files in; Chromium ends with it."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    flags += [
        "--no-first-run",
        "--disable-background-networking",
        "--hide-scrollbars",
        f"--user-data-dir={scratch}",
        "about:blank",
    ]
    # DevTools reads from descriptor 3 and writes to 4.
    command = ["sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1', "sh", CHROMIUM, *flags]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "HOME": str(scratch)}
    ) as process:
        patience = threading.Timer(_PATIENCE, process.kill)  # else a browser that hangs is waited for
        patience.start()
        try:
            yield Page(process)
        finally:
            patience.cancel()
            process.terminate()
