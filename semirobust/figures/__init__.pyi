from . import gallery
from .alt_text import captioned
from .curves import (
    plot_course,
    plot_densities,
    plot_intervals,
    plot_levels,
    plot_pairs,
    plot_panels,
)
from .networks import plot_accuracies, plot_radius, plot_rho, with_labels
from .protocols import plot_protocols
from .sliders import plot_noise, plot_slider, plot_world
from .theory import (
    plot_bounds,
    plot_constants,
    plot_gamma,
    plot_growth,
    plot_line,
    plot_parts,
    plot_replica,
    plot_sizes,
    plot_slack,
    plot_truth,
)

__all__ = [
    "captioned",
    "gallery",
    "plot_accuracies",
    "plot_bounds",
    "plot_constants",
    "plot_course",
    "plot_densities",
    "plot_gamma",
    "plot_growth",
    "plot_intervals",
    "plot_levels",
    "plot_line",
    "plot_noise",
    "plot_pairs",
    "plot_panels",
    "plot_parts",
    "plot_protocols",
    "plot_radius",
    "plot_replica",
    "plot_rho",
    "plot_sizes",
    "plot_slack",
    "plot_slider",
    "plot_truth",
    "plot_world",
    "with_labels",
]
