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
    dependence,
    leaking,
    named,
    near_chance,
    notes,
    recorded,
    scale,
    varying,
    verdicts,
)
from .tickets import against_dense, kept, summary
from .trying import beside_recorded, tried
from .words import decimals, mean_and_spread, percent, short

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
    "percent",
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
