"""x -> x + delta: one attack, one file, called as ``attack(network, x, y, generator=...)``."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
