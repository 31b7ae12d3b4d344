"""Attacked images beside their perturbations and the network's answers, to be looked at.

Only images that may be shown go in: the digits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Generator, nn

from semirobust.attacks.ball import evaluating
from semirobust.data import Samples
from semirobust.figures.alt_text import CSV, Bundle
from semirobust.types import Attack, Classifier, Images, Labels

ACROSS = 5  # images in a line


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


def plot(shown: AttackedImages, epsilon: float) -> Figure:
    """Draw clean image, perturbation and attacked image in columns, the answers below.

    The perturbation is drawn from -epsilon (black) to epsilon (white), channels averaged. More
    than ``ACROSS`` images stand in several blocks, one below the other, to be legible.
    """
    n = len(shown.labels)
    columns, blocks = min(n, ACROSS), -(-n // ACROSS)
    size = (1.1 * columns, 3.9 * blocks)
    figure, axes = plt.subplots(
        3 * blocks, columns, figsize=size, layout="constrained", squeeze=False
    )
    rows = {
        "clean": shown.clean.mean(dim=1),
        "perturbation": (shown.delta.mean(dim=1) / (2 * epsilon) + 0.5).clamp(0, 1),
        "attacked": shown.attacked.mean(dim=1),
    }
    for row, (name, images) in enumerate(rows.items()):
        for ax in axes[row::3].flat[n:]:
            ax.set_axis_off()
        for ax, image in zip(axes[row::3].flat, images.numpy(), strict=False):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        for first in axes[row::3, 0]:
            first.set_ylabel(name)
    for ax, label, after in zip(axes[2::3].flat, shown.labels, shown.after, strict=False):
        wrong = "" if label == after else " ✗"
        ax.set_xlabel(f"{int(label)} → {int(after)}{wrong}")
    figure._repr_mimebundle_ = partial(_mime_bundle, shown)  # type: ignore[attr-defined]
    return figure


def _mime_bundle(shown: AttackedImages, **_: Any) -> Bundle:
    return {CSV: shown.table().to_csv(index=False)}, {CSV: {"alt": shown.text()}}
