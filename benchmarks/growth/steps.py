"""The training step of benchmarks/train_step, each of its sizes varied alone around S."""

from benchmarks.growth.curves import Work
from benchmarks.train_step.problem import SIZES, Problem, Size
from benchmarks.train_step.routes import ROUTES
from benchmarks.train_step.run import step_of


class Steps:
    """Forecast, mean square error and gradients."""

    name = "training step"
    routes = ("torchdiffeq rk4", "neurotwin torch", "neurotwin fused")
    axes = {
        "batch": (16, 32, 64, 128, 256, 512, 1024, 2048),
        "rows": (12, 25, 50, 75, 100, 150, 200, 300, 400),
        "state": (2, 4, 8, 16, 32, 64, 128),
        "width": (16, 32, 64, 96, 128, 192, 256),
    }
    quick = {"batch": (32, 64, 128, 256, 512)}

    def __init__(self) -> None:
        self._problems: dict[tuple[str, int], Problem] = {}

    def ready(self, route: str, against: str, value: int) -> Work:
        """A step of a size."""
        if (against, value) not in self._problems:
            self._problems[against, value] = Problem(size_of(against, value))
        return _step(self._problems[against, value], route)

    def small(self, route: str) -> Work:
        """A step of 16 subjects."""
        return _step(Problem(SIZES["tiny"]), route)


def size_of(against: str, value: int) -> Size:
    """S with another ``value`` of one of its numbers; a row lies between two visits."""
    if against == "rows":
        return SIZES["S"]._replace(times=value + 1)
    return SIZES["S"]._replace(**{"hidden" if against == "width" else against: value})


def _step(problem: Problem, route: str) -> Work:
    solve = ROUTES[route](problem)
    return lambda: step_of(problem, solve)
