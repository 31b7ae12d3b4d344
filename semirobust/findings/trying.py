"""What a run of the reader's own says, and where it stands beside the recorded ones."""

import pandas as pd

from semirobust.figures.networks import with_labels
from semirobust.findings.tables import noise
from semirobust.results.frames import frame
from semirobust.results.values import Words

CONTROL = "frozen standard f_a"
RECORDED = "model == 'vgg16' and data == 'cifar10' and protocol == 'online'"
LARGEST = 1000  # images in a training part that is too small to find anything


def beside_recorded(yours: pd.DataFrame, n_b: int) -> pd.DataFrame:
    """Return white-box accuracies by ``network`` and by ``whose`` they are: recorded, or yours.

    Recorded are those of VGG16 at a quarter of the width with this size of f_b, each seed once.
    """
    known = pd.concat(frame(name, "networks", "cpu") for name in ("table-1", "figure-2"))
    known = with_labels(known[known["n_b"].isna() | (known["n_b"] == n_b)].query(RECORDED))
    known = known.drop_duplicates(["seed", "label"]).assign(whose="recorded, CIFAR-10")
    both = pd.concat([known, yours.assign(whose="yours")])
    both = both[both["label"].isin(yours["label"])].assign(network=lambda rows: rows["label"])
    return both[["whose", "network", "seed", "clean", "whitebox"]].reset_index(drop=True)


def tried(yours: pd.DataFrame, *, n_b: int, against: str, images: int) -> Words:
    """Return what splicing cost and retraining brought back, as far as one run can tell.

    Args:
        yours: ``label``, ``whitebox`` and ``n``, the images scored, of the five networks.
        n_b: Trainable layers of f_b.
        against: The attack that was trained against.
        images: That were trained on.
    """
    score, n = yours.set_index("label")["whitebox"], yours["n"].min()
    robust, spliced, tuned, behind = score[["robust", "spliced", "tuned", CONTROL]]
    standard = score["standard"]
    if robust - standard <= noise(robust, standard, n):
        return Words(
            f"Trained against {against}, a network is no more robust ({robust:.1%} white-box) than "
            f"the standard one ({standard:.1%}): there is nothing to lose. Train longer, or choose "
            "another radius."
        )
    lost = robust - spliced > noise(robust, spliced, n)
    told = [
        f"An ordinary back of {n_b} layers behind the robust front "
        + ("takes" if lost else "costs nothing that so few images show:")
        + f" white-box accuracy from {robust:.1%} to {spliced:.1%}.",
        f"Retrained there against {against}, the front frozen, the network reaches {tuned:.1%}.",
        f"Behind the front of the standard network the same training gives {behind:.1%}"
        + (
            f": the robust front adds {100 * (tuned - behind):.1f} points."
            if tuned - behind > noise(tuned, behind, n)
            else f"; {n} images cannot tell whether the robust front matters."
        ),
        f"*One run, {images:,} training images, {n} scored"
        + ("; so small a run shows the way and finds nothing.*" if images < LARGEST else ".*"),
    ]
    return Words(" ".join(told))
