"""Pictures of a training run and of a network: everything matplotlib is here.

Every function draws into one `ax` and returns it. Without one it makes a new figure, which is
``ax.figure``; a notebook shows it where a cell ends with the call. Such figures are not pyplot's;
they need no screen, no `plt.show` and no `plt.close`, and `save` writes them to a file. The global
rcParams stay as they are. A picture takes the place of an earlier one in the same axes, but for
`learning_curves`, which adds further runs, or a second quantity, to its own. Labels may stand to
the right of an `ax` of yours and above it, so give a figure of several panels
``layout="constrained"``, as one of `new_figure` has it.

>>> from backprop import plots
>>> plots.save(plots.learning_curves(history, "accuracy"), "accuracy.png")
"""

from backprop.plots.angles import alignment_angles
from backprop.plots.attribution import attributions
from backprop.plots.classes import confusion
from backprop.plots.comparison import comparison
from backprop.plots.curves import learning_curves
from backprop.plots.diagram import network_diagram
from backprop.plots.health import gradient_norms, unit_health
from backprop.plots.images import misclassified, weights
from backprop.plots.layers import activation_histograms, delta_histograms
from backprop.plots.style import BLUE, GRID, STYLE, VERMILLION, new_figure, save

__all__ = [
    # a training run
    "learning_curves",
    "comparison",
    "gradient_norms",
    "unit_health",
    "alignment_angles",
    # a network, and what it does
    "weights",
    "activation_histograms",
    "delta_histograms",
    "network_diagram",
    "attributions",
    # its mistakes
    "confusion",
    "misclassified",
    # figures of your own
    "BLUE",
    "GRID",
    "STYLE",
    "VERMILLION",
    "new_figure",
    "save",
]
