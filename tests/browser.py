"""The browser that the tests look at pages with and press keys in, started as for printing."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

from bs4 import BeautifulSoup
from tornado.websocket import WebSocketClientConnection, websocket_connect

from book._ext.print import BROWSERS, FLAGS

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), "")
CODES = {"Tab": 9, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40}


def state(page: str, places: Sequence[int]) -> BeautifulSoup:
    """Return what a figure to touch shows with its inputs at these places, read from its data."""
    soup = BeautifulSoup(page, "html.parser")
    columns = iter(json.loads(soup.find("script", type="application/json").string))
    inputs = soup.find_all("input")
    sizes = [int(one["data-of"]) for one in inputs if one["type"] == "range" or one["value"] == "0"]
    index = 0
    for place, size in zip(places, sizes, strict=True):
        index = index * size + place
    for element in soup.select("[data-set]"):
        for name in element["data-set"].split():
            value = next(columns)[index]
            if name == "text":
                element.string = value
            else:
                element[name] = value
    return soup


def pressed(page: str, keys: Sequence[str], folder: Path) -> tuple[BeautifulSoup, list[str]]:
    """Return a page after these keys, and what its console complains of."""
    file = folder / "page.html"
    file.write_text(f'<meta charset="utf-8"><title>x</title>{page}', encoding="utf-8")
    profile = folder / "profile"
    flags = [*FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen([CHROMIUM, *flags], stderr=subprocess.DEVNULL) as browser:
        try:
            port = _written(profile / "DevToolsActivePort").split()[0]
            return asyncio.run(_press(port, file.as_uri(), keys))
        finally:
            browser.terminate()


def _written(file: Path) -> str:
    for _ in range(600):
        if file.exists() and (text := file.read_text(encoding="utf-8")):
            return text
        time.sleep(0.1)
    raise TimeoutError(f"{file.name} was not written")


class _Tab:
    """A tab of the browser: it is told what to do and hears what the page complains of."""

    def __init__(self, socket: WebSocketClientConnection):
        self.socket, self.complaints, self.loaded = socket, [], set()

    async def call(self, method: str, **parameters: object) -> dict:
        told = {"id": 1, "method": method, "params": parameters}
        await self.socket.write_message(json.dumps(told))
        while (answer := await self.heard()) is None:
            pass
        return answer

    async def heard(self) -> dict | None:
        told = json.loads(await self.socket.read_message())
        if "id" in told:
            return told["result"]
        event = told["params"]
        entry = event.get("entry", event)
        if "exceptionDetails" in event or "error" in (entry.get("level"), entry.get("type")):
            self.complaints.append(json.dumps(event))
        if event.get("name") == "load":
            self.loaded.add(event["loaderId"])
        return None

    async def open(self, url: str) -> None:
        await self.call("Page.enable")
        await self.call("Page.setLifecycleEventsEnabled", enabled=True)
        await self.call("Runtime.enable")
        await self.call("Log.enable")
        page = await self.call("Page.navigate", url=url)
        while page["loaderId"] not in self.loaded:  # A key pressed before is lost.
            await self.heard()


async def _press(port: str, url: str, keys: Sequence[str]) -> tuple[BeautifulSoup, list[str]]:
    with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        (address,) = (
            one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page"
        )
    tab = _Tab(await websocket_connect(address))
    await tab.open(url)
    for key in keys:
        stroke = {"key": key, "code": key, "windowsVirtualKeyCode": CODES[key]}
        await tab.call("Input.dispatchKeyEvent", type="rawKeyDown", **stroke)
        await tab.call("Input.dispatchKeyEvent", type="keyUp", **stroke)
    page = await tab.call("Runtime.evaluate", expression="document.documentElement.outerHTML")
    await tab.call("Browser.close")
    while await tab.socket.read_message() is not None:
        pass
    tab.socket.close()
    return BeautifulSoup(page["result"]["value"], "html.parser"), tab.complaints
