"""A page opened in a headless Chromium without network: what it shows, says and asks for."""

import asyncio
import base64
import io
import json
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from tornado.websocket import websocket_connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_OPTIONS = (
    "--headless --no-sandbox --disable-gpu --use-angle=swiftshader --enable-unsafe-swiftshader --disable-extensions "
    "--disable-background-networking --disable-component-update --disable-sync --no-first-run --mute-audio "
    "--disable-dev-shm-usage --remote-debugging-port=0 --window-size=1400,800"
).split()


@dataclass
class Opened:
    """What was seen: results of expressions, errors in the console, addresses asked for, a picture."""

    results: list
    errors: list
    requests: list
    seconds: float
    png: bytes

    def pixels(self):
        """The picture, shape (height, width, 3), 0 to 255."""
        return np.round(255 * plt.imread(io.BytesIO(self.png))[..., :3]).astype(int)


def open_page(path, folder, ready, expressions, seconds=60.0):
    """Open a file, wait until the JavaScript `ready` is true, and evaluate expressions one after the other."""
    command = [CHROMIUM, *_OPTIONS, f"--user-data-dir={folder}", "--host-resolver-rules=MAP * ~NOTFOUND", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return asyncio.run(asyncio.wait_for(_talk(path, folder, ready, expressions), seconds))
    finally:
        process.terminate()
        process.wait(20)


async def _talk(path, folder, ready, expressions):
    while not (folder / "DevToolsActivePort").exists() or not (folder / "DevToolsActivePort").read_text():
        await asyncio.sleep(0.05)
    port = (folder / "DevToolsActivePort").read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        target = next(item for item in json.load(answer) if item["type"] == "page")
    socket = await websocket_connect(target["webSocketDebuggerUrl"], max_message_size=1 << 28)
    errors, requests, numbers = [], [], iter(range(1, 10**9))

    async def call(method, **parameters):
        number = next(numbers)
        await socket.write_message(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await socket.read_message())
            given = message.get("params", {})
            match message.get("method"):
                case "Runtime.consoleAPICalled" if given["type"] in ("error", "assert"):
                    errors.append(str(given["args"]))
                case "Runtime.exceptionThrown":
                    errors.append(str(given["exceptionDetails"]))
                case "Log.entryAdded" if given["entry"]["level"] == "error":
                    errors.append(str(given["entry"]))
                case "Network.requestWillBeSent":
                    requests.append(given["request"]["url"])
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def evaluate(text):
        found = await call("Runtime.evaluate", expression=text, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    for domain in ("Page", "Runtime", "Log", "Network"):
        await call(f"{domain}.enable")
    begin = time.perf_counter()
    await call("Page.navigate", url=path.resolve().as_uri())
    while not await evaluate(ready):
        await asyncio.sleep(0.1)
    taken = time.perf_counter() - begin
    await asyncio.sleep(1.0)  # what is drawn later, and what is asked for later
    results = [await evaluate(text) for text in expressions]
    png = base64.b64decode((await call("Page.captureScreenshot"))["data"])
    socket.close()
    while await socket.read_message() is not None:  # until both sides have closed: the loop ends here
        pass
    return Opened(results, errors, requests, taken, png)
