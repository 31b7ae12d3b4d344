"""Names for the tensors that travel between modules, with their shapes."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from torch import Generator, Tensor

Images: TypeAlias = Tensor  # float, N x C x H x W, in [0, 1]
Labels: TypeAlias = Tensor  # int64, N, in 0..K-1
Logits: TypeAlias = Tensor  # float, N x K
Flags: TypeAlias = Tensor  # bool, N
Features: TypeAlias = Tensor  # float, N x d or N x C x H x W
Activations: TypeAlias = dict[int, Tensor]  # the paper's j -> h_j
Classifier: TypeAlias = Callable[[Images], Logits]


class Attack(Protocol):
    """What is called to perturb a batch: x, y -> x + delta."""

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        """Return the perturbed images, detached, inside the ball and the unit box."""
        ...
