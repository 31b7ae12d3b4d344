"""The statements of the paper: exact in small worlds, and measured on networks."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
