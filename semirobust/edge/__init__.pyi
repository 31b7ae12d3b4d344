from . import laws
from .dependence import Dependence
from .estimator import Edge
from .information import compare, equal_numbers, records, rho

__all__ = ["Dependence", "Edge", "compare", "equal_numbers", "laws", "records", "rho"]
