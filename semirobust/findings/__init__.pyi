from . import peers
from .certificates import passed_on, shortfalls
from .sentences import larger, restored, told
from .tables import (
    NONE,
    SMOKE,
    accuracies,
    caption,
    chosen,
    collapsed,
    cuts,
    dependence,
    leaking,
    mean_and_spread,
    near_chance,
    notes,
    recorded,
    several,
    short,
    verdicts,
)
from .tickets import against_dense, summary

__all__ = [
    "NONE",
    "SMOKE",
    "accuracies",
    "against_dense",
    "caption",
    "chosen",
    "collapsed",
    "cuts",
    "dependence",
    "larger",
    "leaking",
    "mean_and_spread",
    "near_chance",
    "notes",
    "passed_on",
    "peers",
    "recorded",
    "restored",
    "several",
    "short",
    "shortfalls",
    "summary",
    "told",
    "verdicts",
]
