"""What a chapter concludes from the records that it shows: tables and sentences."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
