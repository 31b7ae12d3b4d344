"""Attacked images beside their perturbations and the network's answers, to be looked at.

Only images that may be shown go in: the digits.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Generator, nn

from semirobust.attacks.ball import evaluating
from semirobust.data import DataSet, Samples, to_bytes
from semirobust.figures.alt_text import CSV, Bundle
from semirobust.figures.sliders import Touch, written
from semirobust.results.touch import Control
from semirobust.types import Attack, Classifier, Images, Labels

ACROSS = 5  # images in a line
PUSHED, SIDE = 4, 88  # images that are pushed in sight, and their side


@dataclass(frozen=True)
class AttackedImages:
    """Images before and after an attack, their labels, and the answers to both."""

    clean: Images
    attacked: Images
    labels: Labels
    before: Labels
    after: Labels

    @property
    def delta(self) -> Images:
        return self.attacked - self.clean

    def table(self) -> pd.DataFrame:
        """Return one row for each image: label, answers, and the size of the perturbation."""
        size = self.delta.flatten(1)
        return pd.DataFrame(
            {
                "label": self.labels.tolist(),
                "answer to the clean image": self.before.tolist(),
                "answer to the attacked image": self.after.tolist(),
                "largest change": size.abs().amax(dim=1).tolist(),
                "length of the change": size.norm(dim=1).tolist(),
            }
        )

    def text(self) -> str:
        pairs = zip(self.labels.tolist(), self.after.tolist(), strict=True)
        answers = ", ".join(f"{label} read as {after}" for label, after in pairs)
        return (
            f"{len(self.labels)} digits, each above its perturbation and the attacked image, which "
            f"is as legible. Labels and answers to the attacked images: {answers}."
        )


def attacked(
    network: nn.Module, samples: Samples, attack: Attack, *, seed: int = 0
) -> AttackedImages:
    """Return the images attacked for this very network (white-box), with its answers."""
    generator = Generator().manual_seed(seed)
    x_adv = attack(network, samples.x, samples.y, generator=generator)
    before, after = answers(network, samples.x), answers(network, x_adv)
    shown = (samples.x, x_adv, samples.y, before, after)
    return AttackedImages(*(part.cpu() for part in shown))


@torch.no_grad()
def answers(network: Classifier, x: Images) -> Labels:
    """Return the class that a network in evaluation mode answers for each image."""
    with evaluating(network):
        return network(x).argmax(dim=1)


def compared(
    networks: Mapping[str, nn.Module],
    samples: Samples,
    attacks: Mapping[str, Attack],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Return by network and attack the share left standing and the mean size of the change."""
    rows = []
    for name, network in networks.items():
        for word, attack in attacks.items():
            images = attacked(network, samples, attack, seed=seed)
            sizes = images.table()[["largest change", "length of the change"]].mean()
            standing = float((images.after == images.labels).float().mean())
            rows.append({"network": name, "attack": word, "standing": standing, **sizes})
    return pd.DataFrame(rows).set_index(["network", "attack"])


def coloured(digits: DataSet, *, seed: int = 0) -> DataSet:
    """Return the data set with a colour of its own for the ground and the ink of each image."""
    generator = Generator().manual_seed(seed)
    parts: dict[str, Any] = {}
    for name in ("train", "validation", "test"):
        part = getattr(digits, name)
        ground, ink = 0.4 * torch.rand(2, len(part), 3, 1, 1, generator=generator)
        parts[name] = replace(part, images=to_bytes(ground + (1 - ink - ground) * part.x))
    return replace(digits, **parts)


@torch.no_grad()
def plot_push(
    networks: Mapping[str, nn.Module],
    samples: Samples,
    attack: Attack,
    *,
    radii: Sequence[int],
    first: int = 0,
    seed: int = 0,
) -> Touch:
    """Show what networks answer while each image is pushed along its own worst direction.

    The direction is the sign of what the attack finds for this very network; the image at radius r
    is x + r/255 times it, within the unit box. The first ``PUSHED`` images are shown, all of them
    are counted. ``first``: which radius is shown at first.
    """
    pushes, rows = {}, []
    for name, network in networks.items():
        found = attack(network, samples.x, samples.y, generator=Generator().manual_seed(seed))
        pushes[name] = (found - samples.x).sign()
        for r in radii:
            after = answers(network, (samples.x + r / 255 * pushes[name]).clamp(0, 1))
            pairs = zip(samples.y.tolist(), after.tolist(), strict=True)
            rows += [
                {"network": name, "radius": r, "image": k, "label": label, "answer": answer}
                for k, (label, answer) in enumerate(pairs)
            ]
    data = pd.DataFrame(rows)
    images = "".join(
        f'<image id="clean-{k}" width="{SIDE}" height="{SIDE}" href="{_png(x)}"/>'
        for k, x in enumerate(samples.x[:PUSHED])
    )
    filters = "".join(
        f'<filter id="push-{name}-{k}" x="0" y="0" width="1" height="1" '
        f'color-interpolation-filters="sRGB"><feImage href="{_png(push / 2 + 0.5)}" '
        f'preserveAspectRatio="none" result="push"/><feComposite in="SourceGraphic" in2="push" '
        f'operator="arithmetic" k2="1" k3="RADIUS" k4="-HALF"/></filter>'
        for name, signs in pushes.items()
        for k, push in enumerate(signs[:PUSHED])
    )

    def draw(place: int) -> tuple[str, str]:
        r = radii[place]
        scaled = filters.replace("RADIUS", f"{2 * r / 255:.3f}").replace("HALF", f"{r / 255:.3f}")
        drawn, said = f"<defs>{images}{scaled}</defs>", []
        for row, name in enumerate(networks):
            own = data[(data["network"] == name) & (data["radius"] == r)]
            right = int((own["answer"] == own["label"]).sum())
            said.append(f"the {name} network still reads {right} of {len(own)} digits")
            drawn += _pushed(name, 8 + row * (SIDE + 54), own[:PUSHED])
        return drawn, f"ε = {r}/255: {', '.join(said)}."

    controls = [Control("radius ε over 255", [*map(str, radii)], first)]
    size = (PUSHED * (SIDE + 8), len(networks) * (SIDE + 54))
    text = f"{PUSHED} digits, pushed, with the answers of each network. {draw(first)[1]}"
    return Touch(draw=draw, controls=controls, data=data, text=text, size=size)


def _pushed(name: str, y: int, answers: pd.DataFrame) -> str:
    """Return the images of one network at one radius, with its answers below."""
    cells = "".join(
        f'<use href="#clean-{k}" x="{k * (SIDE + 8)}" y="{y + 12}" '
        f'filter="url(#push-{name}-{k})"/>'
        + written(
            k * (SIDE + 8) + SIDE / 2,
            y + SIDE + 30,
            f"{label} → {answer}{' ✗' * (answer != label)}",
            "middle",
        )
        for k, (label, answer) in enumerate(zip(answers["label"], answers["answer"], strict=True))
    )
    return written(0, y + 4, f"{name} network", "start") + cells


def _png(x: Images) -> str:
    """Return an image as the address of its own bytes."""
    file = BytesIO()
    pixels = to_bytes(x.cpu()).permute(1, 2, 0).numpy()
    plt.imsave(file, pixels, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def plot(shown: AttackedImages, epsilon: float) -> Figure:
    """Draw clean image, perturbation and attacked image in columns, the answers below.

    The perturbation is drawn from -epsilon (black) to epsilon (white) in each channel. More
    than ``ACROSS`` images stand in several blocks, one below the other, to be legible.
    """
    n = len(shown.labels)
    columns, blocks = min(n, ACROSS), -(-n // ACROSS)
    size = (1.1 * columns, 3.9 * blocks)
    figure, axes = plt.subplots(
        3 * blocks, columns, figsize=size, layout="constrained", squeeze=False
    )
    rows = {
        "clean": shown.clean,
        "perturbation": (shown.delta / (2 * epsilon) + 0.5).clamp(0, 1),
        "attacked": shown.attacked,
    }
    for row, (name, images) in enumerate(rows.items()):
        for ax in axes[row::3].flat[n:]:
            ax.set_axis_off()
        for ax, image in zip(axes[row::3].flat, images.permute(0, 2, 3, 1).numpy(), strict=False):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        for first in axes[row::3, 0]:
            first.set_ylabel(name)
    for ax, label, after in zip(axes[2::3].flat, shown.labels, shown.after, strict=False):
        wrong = "" if label == after else " ✗"
        ax.set_xlabel(f"{int(label)} → {int(after)}{wrong}")
    figure.patch.set_alpha(0)  # words in an ink for white and black, on the page's own ground
    figure._repr_mimebundle_ = partial(_mime_bundle, shown, figure)  # type: ignore[attr-defined]
    return figure


def _mime_bundle(shown: AttackedImages, figure: Figure, **_: Any) -> Bundle:
    words = {"alt": shown.text(), **getattr(figure, "words", {})}
    return {CSV: shown.table().to_csv(index=False)}, {CSV: words}
