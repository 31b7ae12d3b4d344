"""The browser that the tests look at pages with, and how it is started without a network."""

import shutil

from semirobust.printing import BROWSERS

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), "")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
