"""Does a robust half make a robust whole? The executable companion of the paper.

Each folder is a chapter of the paper, and shows on its face what it has for others. Nothing is
loaded before it is used: importing this package takes milliseconds and needs no torch.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)

__version__ = "0.1.0"
