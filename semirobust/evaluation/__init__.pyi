from .fake_defences import FAKE_DEFENCES
from .report import Report, robust_accuracy
from .scrutiny import Evaluation, by_radius, evaluate, formatted

__all__ = [
    "FAKE_DEFENCES",
    "Evaluation",
    "Report",
    "by_radius",
    "evaluate",
    "formatted",
    "robust_accuracy",
]
