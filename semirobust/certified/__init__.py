"""Beyond the paper: bounds that no attack can break, and training for them."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
