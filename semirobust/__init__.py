"""Does a robust half make a robust whole? The executable companion of the paper.

Each module is one object of the paper. Importing this package imports no torch, so the book
builds from recorded results on a machine that has none.
"""

__version__ = "0.1.0"
