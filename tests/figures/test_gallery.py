"""Attacked images to be looked at: what is drawn, said and counted."""

import io

import pandas as pd
import pytest
import torch
from torch import nn

from semirobust.attacks import gradient as attacks
from semirobust.data import Samples
from semirobust.figures import alt_text, gallery

EPSILON = 0.1


def network():
    """Class 1 where the mean is above a half: FGSM moves it by epsilon."""
    linear = nn.utils.skip_init(nn.Linear, 16, 2)
    linear.weight.data = torch.stack([-torch.ones(16), torch.ones(16)]) / 16
    linear.bias.data = torch.tensor([0.5, -0.5])
    return nn.Sequential(nn.Flatten(), linear)


SAMPLES = Samples(
    (torch.tensor([0.55, 0.45, 0.9, 0.1]).view(4, 1, 1, 1).expand(4, 1, 4, 4) * 255).byte(),
    torch.tensor([1, 0, 1, 0]),
)


def shown():
    return gallery.attacked(network(), SAMPLES, attacks.FGSM(epsilon=EPSILON))


def test_answers_before_and_after_are_those_of_the_network():
    found = shown()
    assert found.before.tolist() == [1, 0, 1, 0]
    assert found.after.tolist() == [0, 1, 1, 0]
    assert torch.allclose(found.delta.abs(), torch.tensor(EPSILON))


def test_the_table_tells_labels_answers_and_sizes():
    table = shown().table()
    assert table["answer to the attacked image"].tolist() == [0, 1, 1, 0]
    assert table["largest change"].tolist() == pytest.approx([EPSILON] * 4)
    assert table["length of the change"].tolist() == pytest.approx([EPSILON * 4] * 4)


def test_the_picture_carries_its_table_and_says_what_is_read():
    data, metadata = gallery.plot(shown(), EPSILON)._repr_mimebundle_()
    assert len(pd.read_csv(io.StringIO(data[alt_text.CSV]))) == 4
    assert "1 read as 0, 0 read as 1, 1 read as 1" in metadata[alt_text.CSV]["alt"]


def test_the_picture_shows_three_rows_and_marks_wrong_answers():
    figure = gallery.plot(shown(), EPSILON)
    assert len(figure.axes) == 12
    labels = [ax.get_xlabel() for ax in figure.axes[8:]]
    assert labels == ["1 → 0 ✗", "0 → 1 ✗", "1 → 1", "0 → 0"]
    assert [figure.axes[k].get_ylabel() for k in (0, 4, 8)] == ["clean", "perturbation", "attacked"]


def test_a_comparison_counts_what_stands_by_network_and_attack():
    tried = {"small": attacks.FGSM(epsilon=0.01), "large": attacks.FGSM(epsilon=EPSILON)}
    table = gallery.compared({"one": network()}, SAMPLES, tried)
    assert table["standing"].to_dict() == {("one", "small"): 1.0, ("one", "large"): 0.5}
