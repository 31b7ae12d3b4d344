"""The browser that the tests look at pages with; it is started as for printing."""

import shutil

from book._ext.print import BROWSERS

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), "")
