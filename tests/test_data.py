"""Data: stratified parts, bytes and floats, augmentation, files in torchvision's layout."""

import pickle
from hashlib import md5

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from semirobust import data, models
from semirobust.certified.certificates import certified_margins
from semirobust.data import Samples
from semirobust.edge.information import rho
from semirobust.training.files import arithmetic
from semirobust.training.fitting import Training, accuracy, fit


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_digits_come_with_the_installation(digits):
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1147, 150, 500)
    assert digits.train.images.shape[1:] == (3, 32, 32)
    assert digits.train.images.dtype == torch.uint8
    assert digits.classes == 10
    assert 0 <= digits.train.x.min() < digits.train.x.max() <= 1


def test_parts_do_not_overlap(digits):
    seen = [
        {image.numpy().tobytes() for image in part.images}
        for part in (digits.train, digits.validation, digits.test)
    ]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def test_another_seed_holds_out_other_images_and_leaves_the_test_part(digits):
    other = data.load("digits", seed=1)
    assert not torch.equal(other.validation.images, digits.validation.images)
    assert torch.equal(other.test.images, digits.test.images)


def test_subsets_keep_the_shares_of_the_classes(digits):
    part = data.subset(digits.train, 200)
    share = torch.bincount(part.labels) / 200
    whole = torch.bincount(digits.train.labels) / len(digits.train)
    assert (share - whole).abs().max() < 0.006
    assert torch.equal(part.images, data.subset(digits.train, 200).images)
    assert data.subset(digits.train, len(digits.train)) is digits.train


def test_a_subset_larger_than_the_part_is_refused(digits):
    with pytest.raises(ValueError, match="need 1 <= n <= 150"):
        data.subset(digits.validation, 151)


def test_batches_cover_every_sample_once(digits, generator):
    seen = torch.cat([index for _, _, index in data.batches(digits.test, 64, generator=generator)])
    assert seen.tolist() != list(range(500))
    assert sorted(seen.tolist()) == list(range(500))
    x, y, index = next(data.batches(digits.test, 64))
    assert torch.equal(x, digits.test.x[:64])
    assert torch.equal(y, digits.test.y[index])


def test_bytes_survive_the_way_to_floats_and_back(digits):
    assert torch.equal(data.to_bytes(digits.test.x), digits.test.images)


def test_stored_examples_stay_in_a_ball_of_whole_255ths(generator):
    x = torch.randint(256, (50, 3, 4, 4), generator=generator).float() / 255
    moved = (x + 8 / 255 * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)
    assert (data.to_float(data.to_bytes(moved)) - x).abs().max() <= 8 / 255 + 1e-6


def test_augmentation_shifts_and_mirrors(generator):
    image = torch.arange(36, dtype=torch.uint8).reshape(1, 1, 6, 6) + 1
    padded = torch.nn.functional.pad(image, (2,) * 4)
    windows = {
        tuple(side.flatten().tolist())
        for r in range(5)
        for c in range(5)
        for window in [padded[0, 0, r : r + 6, c : c + 6]]
        for side in (window, window.flip(1))
    }
    drawn = data.shifted(image.expand(200, -1, -1, -1), generator, padding=2)
    found = {tuple(view.flatten().tolist()) for view in drawn}
    assert found <= windows
    assert len(found) > 40  # of 50


def test_mirror_images_can_be_left_out(generator):
    image = torch.arange(36, dtype=torch.uint8).reshape(1, 1, 6, 6) + 1
    padded = torch.nn.functional.pad(image, (2,) * 4)
    shifts = {
        tuple(padded[0, 0, r : r + 6, c : c + 6].flatten().tolist())
        for r in range(5)
        for c in range(5)
    }
    drawn = data.shifted(image.expand(100, -1, -1, -1), generator, padding=2, mirror=False)
    assert {tuple(view.flatten().tolist()) for view in drawn} <= shifts


def test_a_training_without_mirror_images_sees_none(generator):
    image = torch.arange(144, dtype=torch.uint8).reshape(1, 1, 12, 12)
    samples = Samples(image.expand(64, -1, -1, -1), torch.zeros(64, dtype=torch.long))
    plain = data.batches(samples, 64, generator=generator, augment=True, mirror=False)
    x = next(plain)[0]
    assert (x[:, 0, 5, 6] > x[:, 0, 5, 5]).all()  # brightness grows to the right


def test_samples_must_be_paired_and_finite():
    with pytest.raises(ValueError, match="2 images but 3 labels"):
        Samples(torch.zeros(2, 1, 1, 1), torch.zeros(3))
    with pytest.raises(ValueError, match="NaN or inf"):
        Samples(torch.full((1, 1), torch.nan), torch.zeros(1))


def test_an_unknown_data_set_lists_the_known_ones():
    with pytest.raises(ValueError, match="known: digits, cifar10"):
        data.load("cifar")


@pytest.mark.parametrize("name", [name for name in data.NAMES if name != "digits"])
def test_a_root_without_the_files_is_one_line_that_names_the_mend(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{name} is not under .*--download") as caught:
        data.load(name, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*"))


def test_cifar10_is_read_from_torchvisions_layout(tmp_path, monkeypatch, generator):
    def pixels(n):
        return torch.randint(256, (n, 3072), generator=generator, dtype=torch.uint8).numpy()

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    sums = []
    for name in ("data_batch_1", "test_batch"):
        content = {"data": pixels(100), "labels": [i % 10 for i in range(100)]}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        sums.append([name, md5((folder / name).read_bytes()).hexdigest()])
    meta = pickle.dumps({"label_names": list("abcdefghij")}, protocol=2)
    (folder / "batches.meta").write_bytes(meta)
    monkeypatch.setattr(CIFAR10, "train_list", sums[:1])
    monkeypatch.setattr(CIFAR10, "test_list", sums[1:])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5(meta).hexdigest()})
    found = data.load("cifar10", tmp_path)
    assert (len(found.train), len(found.validation), len(found.test)) == (90, 10, 100)
    assert found.test.images.shape[1:] == (3, 32, 32)


def test_imagenette_is_read_from_folders_and_brought_to_size(tmp_path):
    for part, count in (("train", 20), ("val", 2)):
        for wnid in ("n01", "n02"):
            folder = tmp_path / "imagenette2-160" / part / wnid
            folder.mkdir(parents=True)
            for i in range(count):
                array = np.full((40, 60, 3), 10 * i + (wnid == "n02"), dtype=np.uint8)
                Image.fromarray(array).save(folder / f"{i}.png")
    found = data.load("imagenette", tmp_path, size=24)
    assert found.train.images.shape == (36, 3, 24, 24)
    assert found.classes == 2
    assert torch.equal(found.test.images[:, 0, 0, 0] % 10, found.test.labels)


@pytest.mark.parametrize(("said", "words"), [("", "float32"), ("1", "tf32")])
def test_a_gpu_multiplies_float32_as_such_unless_told(said, words, monkeypatch):
    """The rules follow the choice of the device, and are what a record says of its arithmetic."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("SEMIROBUST_TF32", said)
    try:
        assert data.device().type == "cuda"
        assert arithmetic(data.device()) == f"convolutions in {words}, products in {words}"
        assert not convolutions.benchmark
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


WRONG_LABELS = {
    "of no number": torch.zeros(12),
    "a vector an image": torch.zeros(12, 3, dtype=torch.long),
    "of bits": torch.zeros(12, dtype=torch.bool),
    "below 0": torch.arange(12) - 1,
}


@pytest.mark.parametrize("kind", WRONG_LABELS)
def test_labels_of_another_kind_are_refused_wherever_they_are_used(kind, generator):
    x, y = torch.rand(12, 3, 32, 32, generator=generator), WRONG_LABELS[kind]
    network = models.build("mlp", width=0.1)
    for use in (
        lambda: list(fit(network, data.Samples(x, y), Training(epochs=1))),
        lambda: accuracy(network, data.Samples(x, y)),
        lambda: rho(network, x, y),
        lambda: certified_margins(network, x, y, 0.01, ("ibp",)),
        lambda: data.samples_of((x, y)),
    ):
        with pytest.raises(ValueError, match=r"one class number an image, got .*give 0\.\.K-1"):
            use()


def test_samples_of_another_kind_are_refused_with_what_is_taken(generator):
    x, y = torch.rand(12, 3, 8, 8, generator=generator), torch.arange(12)
    for wrong in ([x, y], (x, y, y), (x.numpy(), y), torch.utils.data.TensorDataset(x, y, y)):
        with pytest.raises(ValueError, match=r"a tuple \(images, labels\) of tensors"):
            data.samples_of(wrong)
    with pytest.raises(ValueError, match=r"bytes, got torch\.int64"):
        data.samples_of(((255 * x).long(), y))
    for none in (torch.utils.data.DataLoader([], generator=generator), (x[:0], y[:0])):
        with pytest.raises(ValueError, match="need at least 1 image, got none"):
            data.samples_of(none)


class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, place):
        return Image.new("RGB", (8, 8)), place


def test_a_set_of_pictures_is_refused_with_the_transform_that_mends_it():
    with pytest.raises(
        ValueError, match=r"found .*Image.*: give it transform=transforms\.ToTensor"
    ):
        data.samples_of(Pictures())


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_part_of_one_sample_is_refused(part):
    with pytest.raises(ValueError, match=f"two samples or more, got {part}=1"):
        data.Part(**{part: 1})
