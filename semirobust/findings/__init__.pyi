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
    near_chance,
    notes,
    recorded,
    several,
    short,
    verdicts,
)

__all__ = [
    "NONE",
    "SMOKE",
    "accuracies",
    "caption",
    "chosen",
    "collapsed",
    "cuts",
    "dependence",
    "larger",
    "leaking",
    "near_chance",
    "notes",
    "passed_on",
    "peers",
    "recorded",
    "restored",
    "several",
    "short",
    "shortfalls",
    "told",
    "verdicts",
]
