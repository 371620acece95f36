"""Which quantization for which machine: measured quality, size, memory and speed -> the best file that fits.

`choosing` reads what the package's proof measured and decides; `showing` makes the table and the plot.
"""

from packager.fit.choosing import Candidate, Choice, Machine, candidates, choose, default_first, forgiven, of_package
from packager.fit.showing import advice, plot, quality, table

__all__ = [
    "Candidate",
    "Choice",
    "Machine",
    "advice",
    "candidates",
    "choose",
    "default_first",
    "forgiven",
    "of_package",
    "plot",
    "quality",
    "table",
]
