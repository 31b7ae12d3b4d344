"""What every test shares: one thread, a generator, and an untouched global generator."""

import os
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _global_rng_untouched() -> Iterator[None]:
    """Fail any test whose code draws from a global generator."""
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    yield
    assert torch.equal(before, torch.get_rng_state()), "torch's global generator was used"
    assert np.array_equal(numpy_before, np.random.get_state()[1]), "numpy's was used"  # noqa: NPY002


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
