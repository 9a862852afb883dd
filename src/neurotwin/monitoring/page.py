"""A monitoring run as one HTML page: no script, no external file, readable on a phone, on paper, in light and dark."""

from collections.abc import Sequence
from pathlib import Path

from neurotwin.disk import disk_errors, write_whole
from neurotwin.errors import InputError
from neurotwin.evaluation.markup import figure, number
from neurotwin.evaluation.results import Score, SubgroupScore
from neurotwin.monitoring import drawings
from neurotwin.monitoring.report import ORDER, Check, MonitorReport
from neurotwin.pages.document import document
from neurotwin.pages.markup import facts, key, name_text, table, text

STYLE = """
.alarm { color: var(--bad); font-weight: 600; } .watch { color: var(--c1); font-weight: 600; }
.ok { color: var(--good); } td.left, th.left { text-align: left; }
td.left:last-child { white-space: normal; min-width: 14rem; }
"""
MOST_FIGURES = 12
SIDES = key([("dashed", "c0", "reference"), ("bar", "c1", "this site")])


def write_page(path: Path, report: MonitorReport) -> Path:
    """Write the page and return its path; a page that is there already is replaced at once.

    Raises:
        InputError: no such folder, or the page cannot be written.
        ResourceError: the disk is full.
        ExtraMissingError: matplotlib is not installed.
    """
    if not path.parent.is_dir():
        raise InputError("no such folder", where=str(path.parent), remedy="make it first")
    page = render_page(report)
    with disk_errors(path, InputError):
        write_whole(path, page)
    return path


def render_page(report: MonitorReport) -> str:
    """The page as text."""
    parts = (
        ("verdicts", "Verdicts", _verdicts(report)),
        ("distributions", "Distributions", _distributions(report)),
        ("coverage", "Intervals by horizon", _coverage(report)),
        ("stream", "Patient by patient", _stream(report)),
        ("scores", "Scores on this site", _scores(report)),
        ("silence", "Answered with silence", _silence(report)),
        ("method", "How it was judged", _method(report)),
    )
    shown = [one for one in parts if one[2]]
    sections = "\n".join(
        f'<section id="{name}" aria-labelledby="h-{name}"><h2 id="h-{name}">{title}</h2>\n{content}\n</section>'
        for name, title, content in shown
    )
    name, version = report.bundle["name"], report.bundle["version"]
    return document(
        f"Monitoring {name} {version}: {report.verdict}",
        [(identity, title) for identity, title, _ in shown],
        sections,
        summary=f"{report.n_subjects} subjects of {report.cohort}, beside the reference: {report.reference}.",
        created=report.made[:10],
        how=f" Bundle <code>{report.bundle['sha256'][:12]}</code>, cohort <code>{report.cohort_sha256[:12]}</code>.",
        style=STYLE,
    )


def _verdicts(report: MonitorReport) -> str:
    found = [one.verdict for one in report.checks]
    counts = {"checks": len(found), **{name: found.count(name) for name in ("alarm", "watch", "ok")}}
    rows = [
        (
            one.verdict == "alarm",
            [
                name_text(one.feature),
                f'<span class="{one.verdict}">{one.verdict}</span>',
                text(one.group),
                _short(one.distance),
                _short(one.stability),
                _chance(one.adjusted),
                f"{one.n:,} / {one.n_reference:,}",
                text(one.told),
            ],
        )
        for one in sorted(report.checks, key=lambda one: (-ORDER.index(one.verdict), one.adjusted or 0.0))
    ]
    head = ["feature", "verdict", "group", "distance", "PSI", "chance", "patients, site / reference", "what changed"]
    advice = "".join(f"<li>{text(one)}</li>" for one in report.advice)
    left_out = "".join(f"<li>{name_text(name)}: {text(why)}</li>" for name, why in report.not_judged.items())
    more = f"<details><summary>Not judged</summary><ul>{left_out}</ul></details>" if left_out else ""
    caption = "Each patient counts once. Chance: of a difference this large where nothing changed, all checks together."
    return f'{facts(counts)}<ul class="verdict">{advice}</ul>{table(caption, head, rows, left=(7,))}{more}'


def _distributions(report: MonitorReport) -> str:
    """What changed first, then the variables' levels and the covariates."""
    loud = [one for one in report.checks if one.verdict in ("alarm", "watch")]
    usual = [one for one in report.checks if one.feature.endswith((".level", ".value", ".spread"))]
    chosen = {one.feature: one for one in (*loud, *usual) if not (one.group == "calibration" and one.levels)}
    figures = "".join(
        figure(
            drawings.categories(one) if one.levels else drawings.numbers(one),
            f"d{place}",
            f"{one.feature}: {one.told or 'as in the reference'}.",
        )
        for place, one in enumerate(list(chosen.values())[:MOST_FIGURES])
    )
    return f'{SIDES}<div class="plots">{figures}</div>' if figures else ""


def _coverage(report: MonitorReport) -> str:
    by_channel: dict[str, list[Check]] = {}
    for one in report.checks:
        if one.group == "calibration" and one.levels:
            by_channel.setdefault(one.channel, []).append(one)
    figures = "".join(
        figure(
            drawings.coverage(found, [_horizon(report, one) for one in found], report.level),
            f"c{place}",
            f"{channel}: share of patients whose truth, one each by chance, lay inside the {report.level:.0%} "
            "interval; bars are 95 % intervals.",
        )
        for place, (channel, found) in enumerate(by_channel.items())
    )
    legend = key([("square", "c0", "reference"), ("dot", "c1", "this site")])
    return f'{legend}<div class="plots wide">{figures}</div>' if figures else ""


def _horizon(report: MonitorReport, one: Check) -> str:
    """Label of the bin that a check of the share inside is about."""
    place = int(one.feature.rsplit(".", 1)[1]) - 1
    if report.performance is None:
        return str(place + 1)
    edges = (0.0, *report.performance.horizons)
    upper = edges[place + 1]
    return report.performance.horizon_label((float(edges[place] or 0.0), upper))


def _stream(report: MonitorReport) -> str:
    stream = report.stream
    if stream is None or not stream.looks:
        return ""
    most = {name: max(look.distance.get(name, 0.0) for look in stream.looks) for name in stream.looks[-1].distance}
    flagged = list(dict.fromkeys(flag.feature for flag in stream.flags))
    chosen = [*flagged, *(name for name in sorted(most, key=lambda name: -most[name]) if name not in flagged)][:5]
    rows = [(True, [name_text(one.feature), str(one.patients), str(one.window)]) for one in stream.flags]
    told = (
        table("First alarm of each feature.", ["feature", "after patients", "told by the last"], rows)
        if rows
        else "<p>No alarm.</p>"
    )
    legend = key([("bar", f"c{place}", name) for place, name in enumerate(chosen)])
    caption = (
        f"Distance of the last {stream.window} patients from the reference, every {stream.step} patients, ordered "
        f"{stream.order if ' ' in stream.order else 'by ' + stream.order}."
    )
    return f"{legend}{figure(drawings.trend(stream, chosen), 's', caption)}{told}"


def _scores(report: MonitorReport) -> str:
    found = report.performance
    if found is None:
        return ""
    name, rows = report.bundle["name"], []
    for one in found.scores:
        if one.predictor != name:
            continue
        locf = found.score("locf", one.variable, one.scale, one.horizon)
        label = found.horizon_label(one.horizon)
        rows.append((one.horizon is None, [name_text(one.variable), one.scale, text(label), *_numbers(one, locf)]))
    head = ["variable", "scale", "horizon", "patients", "MAE", "MAE, last value carried forward", "inside", "width"]
    content = table("Each with its 95 % patient bootstrap interval.", head, rows, left=(1, 2))
    parts = [
        (False, [f"{name_text(one.by)}: {text(one.part)}", name_text(one.variable), one.scale, *_numbers(one, None)])
        for one in found.subgroups
    ]
    if parts:
        content += table(
            "By subgroup.", ["part", "variable", "scale", "patients", "MAE", "", "inside", "width"], parts, left=(1, 2)
        )
    return content


def _numbers(one: Score | SubgroupScore, locf: Score | None) -> list[str]:
    """Patients, errors of both, share inside and width."""
    metrics = one.metrics
    return [
        f"{one.n_subjects:,}",
        number(metrics["mae"].patient),
        "" if locf is None else number(locf.metrics["mae"].patient),
        *(number(metrics[name].patient) if name in metrics else "" for name in ("coverage", "width")),
    ]


def _silence(report: MonitorReport) -> str:
    found = report.abstentions
    if found is None:
        return ""
    rows = [(False, [name_text(name), str(count), f"{count / found.n:.1%}"]) for name, count in found.reasons.items()]
    told = table("Reasons, of answers with a warning too.", ["reason", "patients", "share"], rows) if rows else ""
    return (
        f"{facts({'asked': found.n, **found.statuses})}<p>The runtime kept silent about {found.share:.1%} of them "
        f"(95 % interval {found.low:.1%} to {found.high:.1%}).</p>{told}"
    )


def _method(report: MonitorReport) -> str:
    half = " (half of it to the stream)" if report.stream is not None else ""
    lines: Sequence[str] = (
        f"Where nothing changed, a run raises any alarm with a probability of at most {report.false_alarm:.1%}{half}.",
        "Numbers: the Kolmogorov-Smirnov and Kuiper distances between distribution functions, at the edges of the "
        "reference's quantile table. Categories and shares inside intervals: Fisher's exact test. All checks of the "
        "cohort are adjusted together (Holm).",
        "An alarm needs a change that matters too: a distance or population stability index of 0.1, an error 1.1 times "
        "the reference's, a share inside that is 5 points below its level. The stability index is told less what "
        "chance makes of it.",
        "The stream is looked at again and again; look j spends the share 6 / (pi j)^2 of its rate, so that all looks "
        "together stay below it, however many.",
    )
    return "".join(f"<p>{text(line)}</p>" for line in lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def _chance(value: float | None) -> str:
    if value is None:
        return "-"
    return "&lt; 0.0001" if value < 1e-4 else f"{value:.2g}"
