"""Volume and diameter of a sphere: tumours are modelled by the one and measured by the other."""

import math
from typing import Any


def sphere_volume(diameter: Any) -> Any:
    """Volume of a sphere, in the cube of the diameter's unit."""
    return math.pi / 6 * diameter**3


def sphere_diameter(volume: Any) -> Any:
    """Diameter of a sphere, in the cube root of the volume's unit."""
    return (6 / math.pi * volume) ** (1 / 3)
