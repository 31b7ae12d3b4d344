from . import algorithm_s1, curvature, worlds
from .assumptions import Audit, audit, scales, slack
from .norm_bounds import weight_norm_bounds
from .semirobustness import (
    Gamma,
    Search,
    gamma,
    gamma_records,
    linear_readout,
    nested_gamma,
    profile,
    robust_readout,
)

__all__ = [
    "Audit",
    "Gamma",
    "Search",
    "algorithm_s1",
    "audit",
    "curvature",
    "gamma",
    "gamma_records",
    "linear_readout",
    "nested_gamma",
    "profile",
    "robust_readout",
    "scales",
    "slack",
    "weight_norm_bounds",
    "worlds",
]
