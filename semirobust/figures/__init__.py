"""The only place that draws: one function, one kind of figure, with its data and its text."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
