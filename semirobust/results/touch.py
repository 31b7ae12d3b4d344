"""Something to touch, as it leaves a notebook or a page: every state of it inside, and one script.

Each state is drawn whole; what differs between states is stored beside the first one. Without
scripts that one stands. Inputs are ordinary ones: the keyboard moves them, and a screen reader says
their values and the sentence that belongs to the state.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import product
from typing import TypeAlias
from xml.etree.ElementTree import Element, fromstring, tostring

Draw: TypeAlias = Callable[
    ..., tuple[str, str]
]  # places of the inputs: the inside of an SVG, words
SCRIPT = (
    "(f=>{const d=JSON.parse(f.querySelector('script').text),n=[...f.querySelectorAll('input')],"
    "m=[...f.querySelectorAll('[data-set]')];(f.oninput=()=>{let k=0,c=0;"
    "for(const i of n)if(i.type=='range'||i.checked)k=k*i.dataset.of+ +i.value;"
    "for(const e of m)for(const a of e.dataset.set.split(' ')){const v=d[c++][k];"
    "a=='text'?e.textContent=v:e.setAttribute(a,v)}})()})(document.currentScript.parentElement)"
)


@dataclass(frozen=True)
class Control:
    """An input with words for each of its places: a slider, or buttons of which one is chosen."""

    label: str
    words: Sequence[str]
    first: int = 0
    slider: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.first < len(self.words):
            raise ValueError(f"{self.label} starts at {self.first} of {len(self.words)} places")

    def html(self, place: int) -> str:
        """Return the input, whose own value stays the first; only its words follow the place."""
        label, words = escape(self.label), [escape(word) for word in self.words]
        of = f'data-of="{len(words)}"'
        if self.slider:
            limits = f'min="0" max="{len(words) - 1}" value="{self.first}"'
            said = f'aria-valuetext="{words[place]}"'
            slider = f'<input type="range" {of} {limits} {said}/>'
            return f"<p><label>{label} {slider}</label> <b>{words[place]}</b></p>"
        checked = ' checked="checked"'
        buttons = [
            f'<label><input type="radio" name="{label}" {of} value="{k}"'
            f"{checked * (k == self.first)}/> {word}</label>"
            for k, word in enumerate(words)
        ]
        return f"<fieldset><legend>{label}</legend>{''.join(buttons)}</fieldset>"


def touch(draw: Draw, controls: Sequence[Control], size: tuple[int, int]) -> str:
    """Return the figure: the first state, the inputs, what differs in the others, the script.

    Raises:
        ValueError: Two states have not the same elements.
    """
    sizes = [range(len(control.words)) for control in controls]
    states = [*product(*sizes)]
    trees = [fromstring(_page(draw, controls, size, places)) for places in states]
    first = states.index(tuple(control.first for control in controls))
    columns = [*_moving(trees, first)]
    stored = json.dumps(columns, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    page = tostring(trees[first], encoding="unicode", method="html").removesuffix("</div>")
    return f'{page}<script type="application/json">{stored}</script><script>{SCRIPT}</script></div>'


def _page(
    draw: Draw, controls: Sequence[Control], size: tuple[int, int], at: tuple[int, ...]
) -> str:
    drawing, words = draw(*at)
    inputs = "".join(control.html(place) for control, place in zip(controls, at, strict=True))
    said = escape(words)
    svg = f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{said}">{drawing}</svg>'
    return f'<div class="touch">{svg}<output>{said}</output>{inputs}</div>'


def _moving(trees: Sequence[Element], first: int) -> Iterator[list[str | None]]:
    """Mark in the first tree what differs between the trees, and yield the values of each."""
    for parts in zip(*(tree.iter() for tree in trees), strict=True):
        values = {name: [part.get(name) for part in parts] for name in parts[0].attrib}
        values["text"] = [part.text for part in parts]
        moving = {name: column for name, column in values.items() if len({*column}) > 1}
        if moving:
            parts[first].set("data-set", " ".join(moving))
        yield from moving.values()
