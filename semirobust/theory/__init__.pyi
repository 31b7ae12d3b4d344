from . import algorithm_s1, curvature, worlds
from .assumptions import Audit, audit
from .peeling import peel
from .semirobustness import Gamma, Search, gamma, hardened, linear, nested, profile, records, slack

__all__ = [
    "Audit",
    "Gamma",
    "Search",
    "algorithm_s1",
    "audit",
    "curvature",
    "gamma",
    "hardened",
    "linear",
    "nested",
    "peel",
    "profile",
    "records",
    "slack",
    "worlds",
]
