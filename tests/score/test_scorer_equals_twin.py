"""In a batch a subject gets the answer that `Twin` gives it alone: the same numbers, the same reasons to abstain."""

import dataclasses
import itertools
import json
from collections import Counter

import numpy as np
import pytest
from score_documents import patient_of, recorded_plan
from toy_bundles import BUNDLES

from neurotwin.bundle import Bundle
from neurotwin.runtime import Predictor, Twin
from neurotwin.runtime.distilled import Distilled
from neurotwin.score.answers import columns_of
from neurotwin.score.job import make_job, parts_of
from neurotwin.score.scorer import Scorer

PLAN = {
    "name": "two courses",
    "time_unit": "d",
    "query": {"every": 15, "until": 60},
    "treatments": [
        {"t": 0, "treatment": "chemo", "amount": 5, "unit": "mg"},
        {"t": 7, "t_end": 20, "treatment": "drip", "rate": 4, "unit": "mg/h"},
        {"t": 30, "treatment": "pump", "level": 0.4, "unit": "1"},
    ],
    "ongoing": "continue",
}
WIDE = {**PLAN, "treatments": [{"t": 0, "treatment": "chemo", "amount": 11, "unit": "mg"}], "ongoing": "stop"}


def scored(scorer):
    """All rows of all parts, by subject."""
    rows = {}
    for part in parts_of(scorer.job.cohort, scorer.job.part_size):
        columns = columns_of(scorer.score(part).answers, scorer.predictor)
        for row in zip(*columns.values(), strict=True):
            told = dict(zip(columns, row, strict=True))
            rows.setdefault(told["subject"], []).append(told)
    return rows


def last_visits(cohort):
    """``[subject]``, 0 where there was none."""
    last = np.full(len(cohort), -np.inf)
    np.maximum.at(last, cohort.observations.subject, cohort.observations.time)
    return np.where(np.isfinite(last), last, 0.0)


def compare(rows, answer):
    """The rows of one subject with what the twin said."""
    assert {row["status"] for row in rows} == {answer["status"]}
    assert {row["reasons"] for row in rows} == {" ".join(answer["reasons"])}, answer["details"]
    if answer["prediction"] is None:
        assert len(rows) == 1 and rows[0]["kind"] == "abstain" and np.isnan(rows[0]["median"])
        return
    told = [row for row in rows if row["kind"] == "forecast"]
    assert len(told) == len(answer["prediction"])
    for row, said in zip(told, answer["prediction"], strict=True):
        assert (row["channel"], row["unit"]) == (said["channel"], said["unit"])
        assert (row["t"], row["after"]) == pytest.approx((said["t"], said["after"]), rel=1e-12, abs=1e-12)
        interval = said["interval"] or {"lo": None, "hi": None, "level": None}
        for mine, theirs in (("median", said["median"]), *((key, interval[key]) for key in ("lo", "hi", "level"))):
            if theirs is None:
                assert np.isnan(row[mine])
            else:
                assert row[mine] == pytest.approx(theirs, rel=2e-5, abs=2e-5), (mine, row)

    risks = [row for row in rows if row["kind"] == "risk"]
    said = [(one["outcome"], one["after"], one["probability"]) for one in answer.get("risks") or []]
    assert [(row["channel"], row["after"]) for row in risks] == [one[:2] for one in said]
    assert [row["probability"] for row in risks] == pytest.approx([one[2] for one in said], rel=1e-4, abs=1e-6)


def compare_all(scorer, cohort, document):
    """Everybody's rows with their twin's answer; returns how often each status and reason was met."""
    job, predictor, rows, met = scorer.job, scorer.predictor, scored(scorer), Counter()
    cuts = last_visits(cohort) if job.cut is None else np.full(len(cohort), job.cut)
    assert sorted(rows) == sorted(cohort.ids)
    for row, own in enumerate(cuts.tolist()):
        asked = document
        if job.plan == "recorded":
            asked = recorded_plan(cohort, row, own, job.after)
        elif job.plan == "none":
            unit = predictor.signature.time_unit
            asked = {"name": "none", "time_unit": unit, "query": {"at": list(job.after)}}
        patient = patient_of(cohort, row, own, recorded=job.plan == "recorded")
        answer = Twin.of(predictor, patient).forecast(asked)
        compare(rows[str(cohort.ids[row])], answer)
        met.update([answer["status"], *answer["reasons"]])
    return met


QUICK = [("node", "none", None), ("node", "recorded", 100.0), ("node", "courses", 120.5), ("gru", "wide", 100.0)]
CASES = itertools.product(("node", "gru"), ("none", "recorded", "courses", "wide"), (None, 100.0, 120.5))
FULL = [pytest.param(*case, marks=() if case in QUICK else pytest.mark.full) for case in CASES]


@pytest.mark.parametrize(("kind", "plan", "cut"), FULL)
def test_each_subject_gets_its_own_answer(kind, plan, cut, spoiled_cohort, spoiled_folder, tmp_path):
    path = tmp_path / "plan.json"
    document = {"courses": PLAN, "wide": WIDE}.get(plan)
    path.write_text(json.dumps(document))
    job = make_job(
        BUNDLES / f"toy_{kind}@0.1.0",
        spoiled_folder,
        plan=plan if document is None else str(path),
        after="30,90" if document is None else "",
        cut=cut,
        part_size=35,
        batch=16,
    )
    met = compare_all(Scorer.load(job), spoiled_cohort, document)
    wanted = {"ok": 20 if plan == "none" else 0, "degraded": 1, "abstain": 5, "extrapolation": 5}
    assert all(met[name] >= least for name, least in wanted.items()), met
    assert met["conflicting_input"] and met["implausible_input"]


def test_doubts_of_a_flow_map_are_told(spoiled_cohort, spoiled_folder):
    job = make_job(BUNDLES / "toy_node@0.1.0", spoiled_folder, plan="recorded", after="30,90", cut=60.0)
    predictor = Predictor(Bundle.load(job.bundle))
    shares = {"volume": (0.05, 0.4), "temperature": (0.05, 0.05)}
    totals = {"chemo": 12.0, "drip": 100.0, "pump": 20.0}
    distilled = Distilled(longest=92.0, changes=4, totals=totals, edges=(60.0, 200.0), shares=shares, allowed=0.1)
    predictor.signature = dataclasses.replace(predictor.signature, distilled=distilled)
    met = compare_all(Scorer(job, predictor), spoiled_cohort, None)
    assert met["degraded"] > 20 and met["solver_failure"] > 20 and met["extrapolation"] > 20


@pytest.mark.full  # exports a bundle
def test_risks_are_those_of_the_twin(tmp_path):
    pytest.importorskip("torch")
    from event_cases import ended_toys, risky_model
    from toys import source_of

    from neurotwin.export import export_bundle

    cohort = ended_toys(60)
    done = export_bundle(source_of(risky_model(cohort), cohort, tmp_path), tmp_path / "events@0.1.0", timelines=80)
    cohort.save(tmp_path / "cohort")
    job = make_job(done.folder, tmp_path / "cohort", after="0.5,1.5")
    met = compare_all(Scorer.load(job), cohort, None)
    assert met["ok"] + met["degraded"] > 5, met
    cut = float(np.median(cohort.follow_up.time))
    late = Scorer.load(dataclasses.replace(job, cut=cut))
    quarantined = late.score(parts_of(tmp_path / "cohort", 1000)[0]).quarantined
    assert len(quarantined) == np.count_nonzero(cohort.follow_up.time < cut) > 0
