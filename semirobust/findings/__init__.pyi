from . import peers
from .calibration import power
from .certificates import passed_on, shortfalls
from .sentences import answer, larger, restored
from .tables import (
    accuracies,
    caption,
    chosen,
    collapsed,
    decimals,
    dependence,
    leaking,
    mean_and_spread,
    named,
    near_chance,
    notes,
    recorded,
    scale,
    short,
    varying,
    verdicts,
)
from .tickets import against_dense, summary

__all__ = [
    "accuracies",
    "against_dense",
    "answer",
    "caption",
    "chosen",
    "collapsed",
    "decimals",
    "dependence",
    "larger",
    "leaking",
    "mean_and_spread",
    "named",
    "near_chance",
    "notes",
    "passed_on",
    "peers",
    "power",
    "recorded",
    "restored",
    "scale",
    "short",
    "shortfalls",
    "summary",
    "varying",
    "verdicts",
]
