"""The book of this checkout, built once for every test of its pages and for ``make book``."""

from pathlib import Path

import pytest

from book._ext.build import build


@pytest.fixture(scope="session")
def html() -> Path:
    return build().index.parent
