"""The profile that a notebook runs in where its reader has typed none."""

import json
import sys

from semirobust.results import profiles
from semirobust.results.records import results_root


def profile(given: str | None, name: str) -> str:
    """Return ``given``, else the smallest profile, and on Colab the largest that can be shown.

    A notebook of experiments reads records, so there it is the largest profile in which all of them
    have one. Another computes for itself: ``gpu`` where there is a GPU.
    """
    if given or "google.colab" not in sys.modules:
        return given or profiles.DEFAULT
    path = results_root().parent / "notebooks" / f"{name}.ipynb"
    about = json.loads(path.read_bytes())["metadata"].get("semirobust", {})
    if profiles.experiments(about):
        return profiles.largest(about, results_root())
    import torch

    return "gpu" if torch.cuda.is_available() else profiles.DEFAULT
