"""How much two layers depend on each other: EDGE's estimate of I(X; Y), and rho_j of a network."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
