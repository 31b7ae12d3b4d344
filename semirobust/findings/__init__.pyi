from . import peers
from .assumptions import audited
from .calibration import power
from .carriers import carried, caused, dosed, doses, retained, shown, writings
from .certificates import mixed, passed_on, shortfalls, transferred
from .full_size import at_full_size, attacks, images, protocols
from .predicting import foretold, gains, predictors
from .printed import distances, fits, readings
from .sentences import answer, attacked, larger, restored
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
from .tickets import against_dense, kept, summary
from .trying import beside_recorded, tried

__all__ = [
    "accuracies",
    "against_dense",
    "answer",
    "at_full_size",
    "attacked",
    "attacks",
    "audited",
    "beside_recorded",
    "caption",
    "carried",
    "caused",
    "chosen",
    "collapsed",
    "decimals",
    "dependence",
    "distances",
    "dosed",
    "doses",
    "fits",
    "foretold",
    "gains",
    "images",
    "kept",
    "larger",
    "leaking",
    "mean_and_spread",
    "mixed",
    "named",
    "near_chance",
    "notes",
    "passed_on",
    "peers",
    "power",
    "predictors",
    "protocols",
    "readings",
    "recorded",
    "restored",
    "retained",
    "scale",
    "short",
    "shortfalls",
    "shown",
    "summary",
    "transferred",
    "tried",
    "varying",
    "verdicts",
    "writings",
]
