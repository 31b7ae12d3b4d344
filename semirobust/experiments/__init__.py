"""Every table and figure: settings in profiles, how a row is run, what is recorded of it."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
