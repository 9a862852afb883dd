"""The page of a sweep: best trial, course, front, parameters, cost, trials, failures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurotwin.extras import need
from neurotwin.pages.document import document
from neurotwin.pages.markup import facts, figure, key, name_text, table, text
from neurotwin.sweep import pictures
from neurotwin.sweep.results import FEWEST, Results, importances
from neurotwin.sweep.settings import CURVES, VALIDATION_LOSS
from neurotwin.sweep.study import ERROR
from neurotwin.sweep.telling import STATES, counts, number

STYLE = (
    ".wide figure { max-width: 60rem; } .drawn { overflow-x: auto; } .drawn svg { min-width: 44rem; }\n"
    "pre { overflow-x: auto; background: var(--panel); padding: 0.7rem 0.9rem; }\n"
    "@media print { .drawn svg { min-width: 0; } pre { white-space: pre-wrap; } }\n"
)


def render(results: Results, experiment: Path | None) -> str:
    """The page."""
    parts = {
        "best": ("Best trial", _best(results, experiment)),
        "course": ("Course", _course(results)),
        "front": ("Between the objectives", _front(results)),
        "parameters": ("Parameters", _parameters(results)),
        "cost": ("Cost", _cost(results)),
        "trials": ("All trials", _table(results)),
        "failures": ("Failures", _failures(results)),
    }
    shown = {identity: part for identity, part in parts.items() if part[1]}
    sections = "\n".join(
        f'<section id="{identity}"><h2>{text(title)}</h2>{content}</section>'
        for identity, (title, content) in shown.items()
    )
    what = " and ".join(
        f"{direction[:-1]}ed {name.replace('_', ' ')}" for name, direction in results.objectives.items()
    )
    return document(
        f"Sweep {results.name}",
        [(identity, title) for identity, (title, _) in shown.items()],
        f"{facts(counts(results.trials))}\n{sections}",
        summary=f"{len(results.keys)} {'key' if len(results.keys) == 1 else 'keys'} searched; {what}.",
        how=f" Made with <code>neurotwin sweep report</code> (Optuna {text(need('optuna', 'sweep').__version__)}).",
        style=STYLE,
    )


def _best(results: Results, experiment: Path | None) -> str:
    best = results.best
    if best is None:
        return "<p>No trial is complete yet.</p>"
    values = [(True, [text(name.replace("_", " ")), text(number(value))]) for name, value in _values(results, best)]
    params = [(False, [name_text(name), text(number(value))]) for name, value in best.params.items()]
    seeds = [str(run["seed"]) for run in best.user_attrs["runs"] if run["seed"] is not None]
    mean = f"<p>Values are means over the seeds {text(', '.join(seeds))}.</p>" if len(seeds) > 1 else ""
    command = f"<pre><code>neurotwin train experiment={text(experiment)}</code></pre>" if experiment else ""
    return f"{table(f'Trial {best.number}', ('', 'value'), [*values, *params])}{mean}<p>As an experiment:</p>{command}"


def _values(results: Results, trial: Any) -> list[tuple[str, float]]:
    return list(zip(results.objectives, trial.values, strict=True))


def _course(results: Results) -> str:
    if not results.complete:
        return ""
    watched = next((name for name in results.objectives if name in CURVES), VALIDATION_LOSS)
    first = next(iter(results.objectives)).replace("_", " ")
    course = figure(
        pictures.course_plot(results).svg(f"{first} by trial", "course"),
        f"{first} by trial, and the best so far; a few far-off values may be out of sight.",
    )
    lines = figure(
        pictures.curves_plot(results, watched).svg("learning curves", "curves"),
        f"{watched.replace('_', ' ')} on the validation part after each epoch, all trials.",
    )
    pruned = any(trial.state.name == "PRUNED" for trial in results.trials)
    others = [("bar", "muted", "pruned (crosses: at the last epoch)")] if pruned else []
    legend = key([("dot", "c0", "complete"), ("bar", "c1", "the best"), *others])
    return f'{legend}<div class="plots wide">{course}{lines}</div>'


def _front(results: Results) -> str:
    if len(results.objectives) != 2 or not results.complete:
        return ""
    names = [name.replace("_", " ") for name in results.objectives]
    drawing = pictures.front_plot(results).svg(f"{names[0]} against {names[1]}", "front")
    caption = "Each point is a trial; those joined are beaten by no other in both objectives."
    rows = [
        (False, [str(trial.number), *(text(number(value)) for value in trial.values), _words_of(trial.params)])
        for trial in results.front
    ]
    front = table("The front", ("trial", *map(text, names), "parameters"), rows, left=(3,))
    hint = "<p>Another trial of the front as best.yaml: <code>neurotwin sweep report FOLDER --best NUMBER</code>.</p>"
    return f'<div class="plots wide">{figure(drawing, caption)}</div>{front}{hint}'


def _words_of(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name_text(name.rpartition('.')[2])} {text(number(value))}" for name, value in params.items())


def _parameters(results: Results) -> str:
    if not results.complete:
        return ""
    lines = figure(
        pictures.coordinates_plot(results).svg("parallel coordinates", "coordinates"),
        "A line per complete trial, darker where the first objective is better; the best stands out. "
        "The ends of the axes are the ends of the search.",
    )
    shares = importances(results)
    plots = "".join(
        figure(
            pictures.importance_plot(found).svg(f"importance for {name}", f"importance{place}"),
            f"Which keys made the difference between the best trials and the rest in {name.replace('_', ' ')}.",
        )
        for place, (name, found) in enumerate(shares.items())
    )
    n = len(results.complete)
    note = (
        f"<p>Importance by PED-ANOVA from {n} complete trials. It says what mattered within the ranges searched and "
        "among the trials that were not pruned; it is rough below some fifty trials.</p>"
        if shares
        else f"<p>Importances are told from {FEWEST} complete trials on, and for two keys or more.</p>"
    )
    return f'<div class="wide drawn">{lines}</div><div class="plots wide">{plots}</div>{note}'


def _cost(results: Results) -> str:
    spent = [trial.user_attrs for trial in results.trials if "seconds" in trial.user_attrs]
    if not spent:
        return ""
    seconds, cpu = (sum(item[name] for item in spent) for name in ("seconds", "cpu_seconds"))
    rows = [
        (True, ["all trials", _time(seconds), _time(cpu)]),
        (False, ["one trial, on average", _time(seconds / len(spent)), _time(cpu / len(spent))]),
        *(
            (
                False,
                [
                    text(STATES[state]),
                    _time(_sum(results, state, "seconds")),
                    _time(_sum(results, state, "cpu_seconds")),
                ],
            )
            for state in ("COMPLETE", "PRUNED", "FAIL")
            if _sum(results, state, "seconds")
        ),
    ]
    drawing = figure(pictures.cost_plot(results).svg("time of each trial", "cost"), "Time of each trial.")
    note = '<p class="small">Processor time is that of the processes that ended, their children included.</p>'
    return f'{table("Time spent", ("", "time", "processor time"), rows)}{note}<div class="plots wide">{drawing}</div>'


def _sum(results: Results, state: str, name: str) -> float:
    return sum(float(trial.user_attrs.get(name, 0.0)) for trial in results.trials if trial.state.name == state)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _table(results: Results) -> str:
    best = results.best
    head = (
        "trial",
        *(name_text(name) for name in results.objectives),
        *map(name_text, results.keys),
        "state",
        "epochs",
        "time",
    )
    ended = [trial for trial in results.trials if trial.state.is_finished()]
    open_ = counts([trial for trial in results.trials if not trial.state.is_finished()])
    rows = [(trial is best, _row(results, trial)) for trial in ended]
    rest = f"<p>Not ended: {', '.join(f'{count} {name}' for name, count in open_.items())}.</p>" if open_ else ""
    return table("Trials that have ended", head, rows) + rest


def _row(results: Results, trial: Any) -> list[str]:
    complete = trial.state.name == "COMPLETE"
    values = [number(value) for value in trial.values] if complete else ["–"] * len(results.objectives)
    params = [text(number(trial.params.get(name, "–"))) for name in results.keys]
    told = trial.user_attrs
    time = _time(told["seconds"]) if "seconds" in told else "–"
    return [str(trial.number), *values, *params, STATES[trial.state.name], str(told.get("epochs", "–")), time]


def _failures(results: Results) -> str:
    failed = [trial for trial in results.trials if trial.state.name == "FAIL"]
    if not failed:
        return ""
    rows = [
        (
            False,
            [str(trial.number), str(trial.user_attrs.get("exit_code", "–")), text(trial.user_attrs.get(ERROR, "lost"))],
        )
        for trial in failed
    ]
    return table("Trials that failed", ("trial", "exit code", "why"), rows, left=(2,))
