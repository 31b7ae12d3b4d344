"""The README: its answer is the front page's, and what it shows on one's own network runs."""

import re

import pytest
import torch
import torchvision
from torch.utils.data import DataLoader, TensorDataset

from book._ext import front, ledger
from book._ext.repository import TAG
from semirobust import Samples, load, samples_of, subset
from semirobust.results.records import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_opens_with_the_answer_and_the_figure_of_the_front_page():
    today = front.readme(ROOT, ledger.words(ledger.found()))
    assert today == TEXT, "run `semirobust book --save-outputs`"
    assert front.words(ROOT, ledger.words(ledger.found())) in TEXT.partition("\n## ")[0]
    assert "(book/assets/table-1-vgg16.svg)" in TEXT.partition("\n## ")[0]


def test_no_result_is_typed_into_it():
    typed = re.sub("<!-- (?:answer|caption) -->.*?<!-- end -->", "", TEXT, flags=re.DOTALL)
    assert set(re.findall(r"[\d.]+ ?%", typed)) == {"95 %"}


def test_its_link_to_colab_is_of_this_version():
    assert f"/blob/{TAG}/notebooks/25-try-it.ipynb" in TEXT


def untrained(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torchvision.models.resnet18(weights=None, num_classes=10).eval()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::semirobust.edge.dependence.SaturationWarning")
@pytest.mark.filterwarnings("ignore::semirobust.edge.dependence.NullDominatedWarning")
@pytest.mark.filterwarnings("ignore::semirobust.edge.dependence.UnequalSamplesWarning")
def test_the_section_on_a_network_of_ones_own_runs():
    section = TEXT.partition("## On your own network")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    digits = load("digits")
    few = subset(digits.test, 40)
    mine = {
        "model": untrained(0),
        "robust_model": untrained(1),
        "x": few.x,
        "y": few.y,
        "train": subset(digits.train, 40),
        "validation": subset(digits.validation, 20),
    }
    exec(compile(code.replace("epochs=5", "epochs=1"), "README.md", "exec"), mine)
    assert mine["report"].n == 40
    assert mine["found"].null_mean is not None
    assert len(mine["tuned"]) == len(mine["standard"]) == 10
    for step in re.split(r"\n# ", code)[1:]:
        assert len([line for line in step.splitlines()[1:] if line.strip()]) <= 8


def test_samples_come_from_tensors_data_sets_and_loaders():
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand(10, 3, 4, 4, generator=generator), torch.arange(10)
    whole = TensorDataset(images, labels)
    for data in ((images, labels), whole, DataLoader(whole, batch_size=3, generator=generator)):
        samples = samples_of(data)
        assert isinstance(samples, Samples)
        assert torch.equal(samples.x, images)
        assert torch.equal(samples.y, labels)
        assert len(samples_of(data, n=4)) == 4


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (torch.full((2, 3, 4, 4), -2.0), torch.zeros(2), r"-2\.\.-2, not in \[0, 1\].*Normalise"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2), "one class number an image, got torch.float32"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 10, dtype=torch.long), r"int64 \(2, 10\)"),
        (torch.zeros(2, 3, 4, 4), torch.tensor([0, -1]), "one class number an image"),
    ],
)
def test_what_are_no_images_or_labels_is_refused_with_the_mend(images, labels, told):
    with pytest.raises(ValueError, match=told):
        samples_of((images, labels))
