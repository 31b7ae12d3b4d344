"""The only place that draws: one function, one kind of figure, with its data and its text.

style       the palette by network, the marks by threat model, axes, legends
theory      gamma, rho, U_j and the bounds        networks    accuracies and rho of one study
curves      any experiment: courses, levels, points, densities
sliders     a figure to move                      gallery     attacked images
alt_text    data and alternative text
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
