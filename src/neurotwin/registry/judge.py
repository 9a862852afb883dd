"""judge(): every rule of a gate asked of a candidate, beside the champion, on patients that neither has seen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from neurotwin import __version__
from neurotwin.errors import ConfigError
from neurotwin.evaluation.evaluate import score
from neurotwin.evaluation.locf import Locf
from neurotwin.evaluation.results import Difference, Estimate, EvaluationReport, Scale, Score
from neurotwin.evaluation.subgroups import score_subgroups
from neurotwin.monitoring.abstention import tell_abstentions
from neurotwin.monitoring.monitor import Options, monitor
from neurotwin.monitoring.performance import SEED, Answered, ask
from neurotwin.monitoring.reference import Reference
from neurotwin.monitoring.report import ORDER
from neurotwin.monitoring.site import Site, check_channels
from neurotwin.registry.gate import Accuracy, Gate, Rules
from neurotwin.registry.timing import p95_ms
from neurotwin.registry.verdict import On, Row, Verdict, Which
from neurotwin.runtime import Predictor

Z99 = 2.5758293035489004
LOCF = "locf"
CANDIDATE, CHAMPION = "candidate", "champion"


@dataclass(frozen=True)
class Case:
    """What is judged: the bundles, on whom, by which rules, and the scores of both on the same measurements."""

    candidate: Predictor
    champion: Predictor | None
    site: Site
    rules: Rules
    patients: Sequence[Mapping[str, Any]]
    answered: Answered
    report: EvaluationReport


def judge(
    candidate: Predictor,
    champion: Predictor | None,
    site: Site,
    gate: Gate,
    *,
    patients: Iterable[Mapping[str, Any]],
    n_bootstrap: int = 1000,
) -> Verdict:
    """Ask every rule.

    Args:
        champion: None where there is none: rules beside it then hold by themselves, and say so.
        patients: documents of some of the patients, to which the runtime is asked to answer.
        n_bootstrap: replicates of the intervals.

    Raises:
        ConfigError: a rule names a variable or covariate that is not there, or the champion is of other channels.
        CohortError: no subject can be forecast.
    """
    _check_names(gate.rules, site)
    if champion is not None:
        check_channels(champion.schema, candidate.schema, f"the champion {champion.bundle.version}")
    case = _case(candidate, champion, site, gate.rules, list(patients), n_bootstrap)
    rows = tuple(row for rule in _RULES for row in rule(case))
    return Verdict(
        neurotwin=__version__,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        candidate=_which(candidate),
        champion=None if champion is None else _which(champion),
        on=On(cohort=site.name, sha256=site.sha256, part=site.part, n=len(site.cohort)),
        gate=gate.name,
        gate_sha256=gate.sha256,
        rows=rows,
        held=all(row.held for row in rows),
    )


def _case(
    candidate: Predictor,
    champion: Predictor | None,
    site: Site,
    rules: Rules,
    patients: Sequence[Mapping[str, Any]],
    n_bootstrap: int,
) -> Case:
    visits = max(one.signature.min_visits for one in (candidate, champion or candidate))
    answered = ask(candidate, candidate.calibration, site.cohort, min_visits=visits)
    horizon = answered.episodes.queries.time - answered.episodes.cut[answered.episodes.queries.subject]
    forecasts = {CANDIDATE: answered.forecast, LOCF: Locf.fit(site.cohort)(answered.episodes)}
    if champion is not None:
        forecasts[CHAMPION] = champion.calibration.apply(champion(answered.episodes), horizon, champion.schema)
    how = {"level": candidate.calibration.level, "n_bootstrap": n_bootstrap, "seed": SEED}
    report = score(
        forecasts, answered.episodes, answered.targets,
        horizons=candidate.calibration.horizons.tolist(),
        baselines=[LOCF] if champion is None else [LOCF, CHAMPION], **how,  # type: ignore[arg-type]
    )  # fmt: skip
    if rules.subgroups is not None:
        found = score_subgroups(
            {CANDIDATE: answered.forecast}, answered.episodes, answered.targets, site.cohort, answered.rows,
            rules.subgroups.by, **how,  # type: ignore[arg-type]
        )  # fmt: skip
        report = report.model_copy(update={"subgroups": tuple(found)})
    return Case(candidate, champion, site, rules, patients, answered, report)


def _count(case: Case) -> Iterator[Row]:
    least, n = case.rules.minimum_patients, len(case.answered.episodes)
    yield Row(rule="patients scored", asked=f">= {least}", measured=n, held=n >= least)


def _accuracy(case: Case) -> Iterator[Row]:
    for rule in case.rules.accuracy:
        for variable in case.site.cohort.schema.variables:
            if rule.variable in ("*", variable.name):
                scale: Scale = "log" if rule.scale == "modelled" and variable.transform == "log" else "natural"
                yield from _accuracy_of(case, rule, variable.name, scale)


def _accuracy_of(case: Case, rule: Accuracy, variable: str, scale: Scale) -> Iterator[Row]:
    own = case.report.score(CANDIDATE, variable, scale)
    name, note = f"{rule.metric} of {variable} ({scale})", f"{own.n_subjects} patients"
    error = _metric(own, rule)
    if rule.at_most is not None:
        yield _row(f"{name}, upper end", error.high, f"<= {rule.at_most:g} {own.unit}", rule.at_most, note)
    if rule.better_than_locf:
        gap = _metric(case.report.difference(CANDIDATE, LOCF, variable, scale), rule)
        yield _row(f"{name}, less that of the last value, upper end", gap.high, "<= 0", 0.0, note)
    if rule.worse_than_champion_at_most is not None:
        asked = f"<= {rule.worse_than_champion_at_most:g} of the champion's"
        told = f"{name}, less the champion's, upper end"
        if case.champion is None:
            yield Row(rule=told, asked=asked, measured=None, held=True, note="there is no champion yet")
            return
        gap = _metric(case.report.difference(CANDIDATE, CHAMPION, variable, scale), rule)
        theirs = _metric(case.report.score(CHAMPION, variable, scale), rule).value
        share = None if gap.high is None or not theirs else gap.high / theirs
        yield _row(told, share, asked, rule.worse_than_champion_at_most, note)


def _metric(one: Score | Difference, rule: Accuracy) -> Estimate:
    """With each patient weighing the same; of a probability there is no CRPS, and a rule about it does not hold."""
    found = one.metrics.get(rule.metric)
    return Estimate(value=None) if found is None else found.patient


def _coverage(case: Case) -> Iterator[Row]:
    rule, level = case.rules.coverage, case.candidate.calibration.level
    for one in case.report.scores:
        if one.predictor != CANDIDATE or one.horizon is None or one.scale != "natural" or "coverage" not in one.metrics:
            continue
        name = f"share of {one.variable} inside {level:.0%}, {case.report.horizon_label(one.horizon)}"
        share = one.metrics["coverage"].patient.value
        slack = Z99 * float(np.sqrt(level * (1 - level) / max(one.n_subjects, 1)))
        held = share is not None and rule.at_least - slack <= share <= rule.at_most + slack
        asked = f"{rule.at_least:g} to {rule.at_most:g}, give or take {slack:.3f}"
        yield Row(rule=name, asked=asked, measured=share, held=held, note=f"{one.n_subjects} patients")


def _parity(case: Case) -> Iterator[Row]:
    limit, told = case.rules.parity.at_most, case.candidate.bundle.manifest.get("parity")
    numbers = list(told.values()) if isinstance(told, dict) else []
    known = all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers)
    worst = max(numbers) if numbers and known else None
    note = "of the manifest; golden cases answered on this machine" if worst is not None else "the manifest tells none"
    yield _row("parity with the trained model", worst, f"<= {limit:g}", limit, note)


def _abstention(case: Case) -> Iterator[Row]:
    limit, found = case.rules.abstention.at_most, tell_abstentions(case.candidate, case.patients)
    share = None if found is None else found.share
    note = "" if found is None else ", ".join([f"{found.n} patients", *(f"{k}: {v}" for k, v in found.reasons.items())])
    yield _row("share answered with silence", share, f"<= {limit:g}", limit, note)


def _subgroups(case: Case) -> Iterator[Row]:
    rule = case.rules.subgroups
    for one in case.report.subgroups if rule is not None else ():
        modelled = {v.name: "log" if v.transform == "log" else "natural" for v in case.site.cohort.schema.variables}
        if rule is None or one.n_subjects < rule.minimum_patients or one.scale != modelled[one.variable]:
            continue
        name, note = f"{one.variable}, {one.by} {one.part}", f"{one.n_subjects} patients"
        whole = case.report.score(CANDIDATE, one.variable, one.scale).metrics
        part, everyone = one.metrics["mae"].patient.value, whole["mae"].patient.value
        ratio = None if part is None or not everyone else part / everyone
        limit = rule.error_ratio_at_most
        yield _row(f"mae of {name}, over that of all", ratio, f"<= {limit:g}", limit, note)
        if "coverage" in one.metrics and "coverage" in whole:
            inside, of_all = one.metrics["coverage"].patient.value, whole["coverage"].patient.value
            gap = None if inside is None or of_all is None else of_all - inside
            limit = rule.coverage_gap_at_most
            yield _row(f"share inside of all, less that of {name}", gap, f"<= {limit:g}", limit, note)


def _latency(case: Case) -> Iterator[Row]:
    if case.rules.latency is not None:
        limit = case.rules.latency.p95_ms_at_most
        measured = p95_ms(case.candidate, case.patients)
        yield _row("95 of 100 single forecasts within, ms", measured, f"<= {limit:g}", limit, "on this machine")


def _drift(case: Case) -> Iterator[Row]:
    if case.rules.drift is None:
        return
    asked, reference = case.rules.drift.verdict_at_most, Reference.of_bundle(case.candidate.bundle)
    told = f"at most {asked}"
    if reference is None:
        yield Row(rule="drift", asked=told, measured=None, held=False, note="the bundle carries no reference")
        return
    found = monitor(case.candidate, case.site, reference, Options(n_bootstrap=2))
    loud = [one.feature for one in found.checks if one.verdict == found.verdict and found.verdict != "ok"]
    alarms = sum(one.verdict == "alarm" for one in found.checks)
    held = 0 < ORDER.index(found.verdict) <= ORDER.index(asked)
    note = f"{found.verdict}: {', '.join(loud[:5])}" if loud else found.verdict
    yield Row(rule="drift, alarms", asked=told, measured=alarms, held=held, note=note)


_RULES = (_count, _accuracy, _coverage, _parity, _abstention, _subgroups, _latency, _drift)


def _row(rule: str, measured: float | None, asked: str, limit: float, note: str) -> Row:
    """A number that must not exceed its limit; one that is not there does not hold."""
    value = None if measured is None or not np.isfinite(measured) else float(measured)
    return Row(rule=rule, asked=asked, measured=value, held=value is not None and value <= limit, note=note)


def _which(predictor: Predictor) -> Which:
    bundle = predictor.bundle
    return Which(name=bundle.name, version=bundle.version, sha256=bundle.sha256)


def _check_names(rules: Rules, site: Site) -> None:
    schema = site.cohort.schema
    variables, statics = [one.name for one in schema.variables], [one.name for one in schema.statics]
    asked = [("variable", rule.variable, [*variables, "*"]) for rule in rules.accuracy]
    asked += [("covariate", name, statics) for name in (rules.subgroups.by if rules.subgroups else ())]
    for kind, name, known in asked:
        if name not in known:
            raise ConfigError(f"no {kind} {name!r}", where="gate", expected=f"one of {', '.join(known) or '(none)'}")
