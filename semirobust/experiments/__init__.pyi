from .costs import seconds_on
from .registry import EXPERIMENTS, experiment, finish, recorded, rows, run_and_record, tables
from .row import Row
from .study import Study

__all__ = [
    "EXPERIMENTS",
    "Row",
    "Study",
    "experiment",
    "finish",
    "recorded",
    "rows",
    "run_and_record",
    "seconds_on",
    "tables",
]
