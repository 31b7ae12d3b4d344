"""What leaves a notebook: numbers by name, so that nobody reads printed text, and sentences."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

MIME = "application/vnd.semirobust.values+json"


class Values:
    """Named numbers as the value of a cell: shown as text, stored beside it for other readers."""

    def __init__(self, **numbers: float) -> None:
        self.numbers = {name: float(number) for name, number in numbers.items()}

    def __repr__(self) -> str:
        width = max(map(len, self.numbers), default=0)
        return "\n".join(f"{name:{width}} {value:g}" for name, value in self.numbers.items())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {MIME: self.numbers, "text/plain": repr(self)}


class Words(str):
    """Sentences that a notebook computes: shown as Markdown, printed as they are."""

    def _repr_markdown_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return str(self)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def named_values(notebook: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers that a notebook's stored outputs hold by name."""
    named: dict[str, float] = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            numbers = output.get("data", {}).get(MIME, {})
            if wrong := [name for name, one in numbers.items() if not _is_number(one)]:
                raise ValueError(f"a cell gives no finite number for {', '.join(wrong)}")
            if twice := ", ".join(sorted(named.keys() & numbers.keys())):
                raise ValueError(f"two cells give values of one name: {twice}")
            named |= numbers
    return named
