"""What most notebooks import and the package does not decide; kernels are copied from here."""

import gc
import sys
from importlib import import_module

PATH = list(sys.path)  # of a new process; a copy's is that of who asks for it
for name in (
    "torch",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.datasets",
    "sklearn.model_selection",
    "pandas",
    "seaborn",
    "matplotlib_inline.backend_inline",
    "ipykernel.kernelapp",
    "ipykernel.debugger",
    "sphinx.application",  # of what starts a copy, which does so again
    "nbformat",
    "yaml",
):
    import_module(name)
gc.freeze()  # else a copy's first collection touches, and so copies, all of it
