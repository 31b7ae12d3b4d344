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
from tornado.websocket import websocket_connect

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
    flags = [*FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", file.as_uri()]
    with subprocess.Popen([CHROMIUM, *flags], stderr=subprocess.DEVNULL) as browser:
        try:
            port = _written(profile / "DevToolsActivePort").split()[0]
            return asyncio.run(_press(port, keys))
        finally:
            browser.terminate()


def _written(file: Path) -> str:
    for _ in range(600):
        if file.exists() and (text := file.read_text(encoding="utf-8")):
            return text
        time.sleep(0.1)
    raise TimeoutError(f"{file.name} was not written")


async def _press(port: str, keys: Sequence[str]) -> tuple[BeautifulSoup, list[str]]:
    with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        (address,) = (
            one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page"
        )
    socket, complaints = await websocket_connect(address), []

    async def call(method: str, **parameters: object) -> dict:
        await socket.write_message(json.dumps({"id": 1, "method": method, "params": parameters}))
        while True:
            told = json.loads(await socket.read_message())
            if told.get("id"):
                return told["result"]
            event = told["params"]
            entry = event.get("entry", event)
            if "exceptionDetails" in event or "error" in (entry.get("level"), entry.get("type")):
                complaints.append(json.dumps(event))

    await call("Page.enable")
    await call("Page.reload")
    await call("Runtime.enable")
    await call("Log.enable")
    for key in keys:
        stroke = {"key": key, "code": key, "windowsVirtualKeyCode": CODES[key]}
        await call("Input.dispatchKeyEvent", type="rawKeyDown", **stroke)
        await call("Input.dispatchKeyEvent", type="keyUp", **stroke)
    whole = "document.documentElement.outerHTML"
    page = await call("Runtime.evaluate", expression=whole)
    await call("Browser.close")
    while await socket.read_message() is not None:
        pass
    socket.close()
    return BeautifulSoup(page["result"]["value"], "html.parser"), complaints
