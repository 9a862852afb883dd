"""Forest plot: paired differences of several predictors from one baseline, variable by variable."""

from collections.abc import Mapping

from neurotwin.evaluation.plots import INK, MARKERS, PALETTE, Drawing
from neurotwin.evaluation.results import Difference, EvaluationReport, Scale


def differences(report: EvaluationReport, baseline: str, shown: list[tuple[str, Scale]]) -> list[Difference]:
    """Differences over all horizons of the variables ``shown``, in that order, where there are values."""
    found = {
        (one.variable, one.scale, one.predictor): one
        for one in report.differences
        if one.baseline == baseline and one.horizon is None and one.metrics["mae"].pooled.value is not None
    }
    keys = [(*where, name) for where in shown for name in report.predictors]
    return [found[key] for key in keys if key in found]


def forest_plot(report: EvaluationReport, rows: list[Difference], colors: Mapping[str, int]) -> Drawing:
    """Mean absolute error less the baseline's, in percent of the baseline's, with its interval: left is better."""
    labels = [f"{one.variable}{' (log)' if one.scale == 'log' else ''}: {one.predictor}" for one in rows]
    with Drawing(6.4, 0.9 + 0.26 * len(rows)) as drawing:
        axes = drawing.axes
        for place, one in enumerate(rows):
            base = report.score(one.baseline, one.variable, one.scale).metrics["mae"].pooled.value
            gap = one.metrics["mae"].pooled
            if not base or gap.value is None:
                continue
            low, high = (gap.value if end is None else end for end in (gap.low, gap.high))
            shade = colors[one.predictor]
            axes.plot(
                [100 * low / base, 100 * high / base], [place, place], color=PALETTE[shade % len(PALETTE)], lw=1.3
            )
            marker = MARKERS[shade % len(MARKERS)]
            axes.plot(100 * gap.value / base, place, marker, ms=5, color=PALETTE[shade % len(PALETTE)])
        axes.axvline(0, color=INK, lw=0.9)
        axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("difference of the mean absolute error, %")
    return drawing
