from . import verdicts
from .artefacts import Artefact, held, publish
from .code import salt
from .frames import frame, mean_and_spread
from .published import published_numbers
from .records import Record, key, load, path_of, results_root, save
from .values import Values, Words

__all__ = [
    "Artefact",
    "Record",
    "Values",
    "Words",
    "frame",
    "held",
    "key",
    "load",
    "mean_and_spread",
    "path_of",
    "publish",
    "published_numbers",
    "results_root",
    "salt",
    "save",
    "verdicts",
]
