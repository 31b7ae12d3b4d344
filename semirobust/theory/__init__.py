"""The statements of the paper: exact in small worlds, and measured on networks.

semirobustness    Definition 1, Theorem 1
assumptions       Theorem 2, Lemma 1: A1, A2, B1, B2
algorithm_s1      Theorem 3, Lemma 2, Algorithm S1
curvature         Definition 2, bounds (9) to (11)
norm_bounds       bounds (12) to (15)
worlds            where all of these are known exactly
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
