"""A twin: what it takes in, what it answers, and when it stays silent."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import numpy as np
import pytest

from neurotwin.cohort import Cohort
from neurotwin.episodes import make_episodes
from neurotwin.errors import DocumentError
from neurotwin.events import Doses, Observations
from neurotwin.runtime import INPUT_FAULTS, Reason, Twin


def medians(answer):
    return np.array([[row["median"], row["interval"]["lo"], row["interval"]["hi"]] for row in answer["prediction"]])


def same(one, other, tolerance=1e-6):
    assert one["reasons"] == other["reasons"] and one["plan"] == other["plan"]
    np.testing.assert_allclose(medians(one), medians(other), rtol=tolerance)


def split(patient, *times):
    """The document cut into several, each with the events up to one time."""
    bounds, parts = [-1e9, *times, 1e9], []
    for low, high in zip(bounds, bounds[1:], strict=False):
        parts.append(
            {**patient, **{k: [e for e in patient[k] if low < e["t"] <= high] for k in ("observations", "treatments")}}
        )
    return parts


def cohort_of(schema, patient):
    """The patient as a cohort of one, with two samples more for the queries."""
    index = {item.name: number for group in (schema.variables, schema.treatments) for number, item in enumerate(group)}
    later = [{"t": t, "variable": "volume", "value": 20} for t in (60, 141.5)]
    seen = [
        (0, r["t"], index[r["variable"]], r["value"], 0, r.get("post_dose", False))
        for r in [*patient["observations"], *later]
    ]
    given = [
        (
            0,
            r["t"],
            np.nan if "amount" in r else r.get("t_end", np.inf),
            index[r["treatment"]],
            r.get("amount", r.get("rate", r.get("level"))),
        )
        for r in patient["treatments"]
    ]
    statics = np.array([[patient["static"]["age"]["value"], 0.0]])
    observations, doses = Observations.of(*zip(*seen, strict=True)), Doses.of(*zip(*given, strict=True))
    return Cohort.build(schema, ["p"], statics, observations, doses, split_key="one")


def without_request(answer):
    return {key: value for key, value in answer.items() if key != "request_id"}


def test_an_answer(predictor, patient, plan):
    answer = Twin.of(predictor, patient).forecast(plan)
    json.dumps(answer, allow_nan=False)
    assert (answer["status"], answer["reasons"]) == ("ok", [])
    assert answer["plan"] == {
        "name": "as it is",
        "start": 41.5,
        "time_unit": "d",
        "ongoing": "stop",
        "running": ["pump"],
    }
    assert answer["model"]["sha256"] == predictor.bundle.sha256 and answer["model"]["not_a_medical_device"] is True
    assert answer["support"]["n_obs"] == 5 and answer["support"]["last_obs_age"] == 0 and answer["inputs_used"] == 10
    rows = answer["prediction"]
    assert [(row["t"], row["after"], row["channel"]) for row in rows[:2]] == [
        (42.5, 1, "volume"),
        (42.5, 1, "temperature"),
    ]
    assert len(rows) == 180 and all(row["interval"]["lo"] < row["median"] < row["interval"]["hi"] for row in rows)


def test_other_units_say_the_same(predictor, patient, plan):
    first = Twin.of(predictor, patient).forecast(plan)
    patient["time_unit"], plan["time_unit"] = "h", "h"
    for record in patient["observations"]:
        record["t"] *= 24
        record["value"], record["unit"] = {
            "cm3": (record["value"] * 1000, "mm3"),
            "Cel": (record["value"] + 273.15, "K"),
        }[record["unit"]]
    for record in (*patient["treatments"], *plan["treatments"]):
        record.update({key: record[key] * 24 for key in ("t", "t_end") if key in record})
        if "rate" in record:
            record["rate"], record["unit"] = record["rate"] * 24e-3, "g/d"
    patient["treatments"][2].update(rate=4.0, unit="mg/h")
    plan["query"] = {"every": 24, "until": 2160}
    second = Twin.of(predictor, patient).forecast(plan)
    same(first, second)
    assert {item["offset"] for item in second["converted"]} == {0.0, -273.15} and not first["converted"]


def test_order_of_rows_does_not_matter(predictor, patient, plan):
    first = without_request(Twin.of(predictor, patient).forecast(plan))
    for name in ("observations", "treatments"):
        patient[name].reverse()
    assert without_request(Twin.of(predictor, patient).forecast(plan)) == first


@pytest.mark.parametrize("kind", ["predictor", "gru"])
@pytest.mark.parametrize("times", [(0,), (10,), (15,), (20,), (0, 10, 20, 25), (12, 30)])
def test_streaming_is_batch(request, kind, times, patient, plan):
    model = request.getfixturevalue(kind)
    whole = Twin.of(model, patient).forecast(plan)
    parts = split(patient, *times)
    for order in permutations(range(len(parts))) if len(parts) < 4 else [range(len(parts)), [2, 0, 3, 1, 4]]:
        twin = Twin(model)
        for number in order:
            twin.observe(parts[number])
        same(whole, twin.forecast(plan))


def test_a_twin_answers_as_the_batch_predictor_does(predictor, patient, plan):
    cohort = cohort_of(predictor.schema, patient)
    episodes, _, _ = make_episodes(cohort, 41.5, min_visits=2)
    forecast = predictor.calibrated(predictor(episodes), episodes.queries.time - 41.5)
    plan["treatments"], plan["ongoing"] = [], "continue"
    plan["query"] = {"at": (episodes.queries.time - 41.5).tolist()}
    answer = Twin.of(predictor, patient).forecast(plan)
    np.testing.assert_allclose(forecast.median.ravel(), medians(answer)[:, 0], rtol=1e-6)


def test_exact_repeats_are_merged_across_documents(predictor, patient, plan):
    first = without_request(Twin.of(predictor, patient).forecast(plan))
    twin = Twin.of(predictor, patient)
    twin.observe(patient)
    assert without_request(twin.forecast(plan)) == first


def test_equal_doses_of_one_document_add_up(predictor, patient, plan):
    twice = {**patient, "treatments": [*patient["treatments"], patient["treatments"][0]]}
    twin = Twin.of(predictor, twice)
    assert len(twin.past.doses) == 5
    twin.observe(patient)
    twin.observe(twice)
    assert len(twin.past.doses) == 5
    same(twin.forecast(plan), Twin.of(predictor, twice).forecast(plan))


@pytest.mark.parametrize(
    "change",
    [
        {"observations": [{"t": 20, "variable": "volume", "value": 25.0, "unit": "cm3"}]},
        {"treatments": [{"t": 10, "treatment": "chemo", "amount": 6, "unit": "mg"}]},
        {"treatments": [{"t": 15, "t_end": 34, "treatment": "drip", "rate": 4, "unit": "mg/h"}]},
        {"treatments": [{"t": 15, "treatment": "drip", "rate": 4, "unit": "mg/h"}]},
        {"treatments": [{"t": 30, "treatment": "pump", "level": 0.4, "unit": "1"}]},
        {"static": {"age": {"value": 51, "unit": "a"}}},
        {"index_time": "2026-01-06"},
    ],
)
def test_later_documents_must_not_contradict(predictor, patient, plan, change):
    twin = Twin.of(predictor, {**patient, "index_time": "2026-01-05"})
    twin.observe({"id": "p-1", "time_unit": "d", **change})
    answer = twin.forecast(plan)
    assert answer["prediction"] is None and answer["reasons"] == ["conflicting_input"] and answer["status"] == "abstain"


def test_a_later_document_may_end_what_was_open(predictor, patient, plan):
    ended = {"t": 25, "t_end": 30, "treatment": "pump", "level": 0.5, "unit": "1"}
    twin = Twin.of(predictor, patient)
    twin.observe({"id": "p-1", "time_unit": "d", "treatments": [ended]})
    patient["treatments"][3] = ended
    same(twin.forecast(plan), Twin.of(predictor, patient).forecast(plan))


def test_another_patients_document_is_refused(predictor, patient):
    twin = Twin.of(predictor, patient)
    with pytest.raises(DocumentError, match="another patient") as caught:
        twin.observe({**patient, "id": "p-2"})
    assert "p-1" not in str(caught.value) and "p-2" not in str(caught.value)


def test_running_treatments_stop_unless_the_plan_says_continue(predictor, patient, plan):
    twin = Twin.of(predictor, patient)
    stops, goes_on = (twin.forecast({**plan, "ongoing": what}) for what in ("stop", "continue"))
    assert not np.allclose(medians(stops), medians(goes_on), rtol=1e-6)
    told = {"t": 0, "treatment": "pump", "level": 0.5, "unit": "1"}
    same({**goes_on, "plan": stops["plan"]}, twin.forecast({**plan, "treatments": [told, *plan["treatments"]]}))
    assert twin.forecast({**plan, "ongoing": "continue", "treatments": [told]})["reasons"] == ["conflicting_input"]


def test_a_treatment_that_ends_after_the_last_sample_is_given_in_full(predictor, patient, plan):
    patient["treatments"].append({"t": 41, "t_end": 46, "treatment": "drip", "rate": 4, "unit": "mg/h"})
    answer = Twin.of(predictor, patient).forecast(plan)
    assert answer["plan"]["start"] == 46 and answer["support"]["last_obs_age"] == 4.5
    early = Twin.of(predictor, {**patient, "now": 41.5}).forecast({**plan, "ongoing": "continue"})
    assert early["plan"]["start"] == 41.5 and early["plan"]["running"] == ["drip", "pump"]


def test_plan_times_count_from_now(predictor, patient, plan):
    plan["ongoing"] = "continue"
    at_once = Twin.of(predictor, patient).forecast({**plan, "query": {"at": [17, 30]}})
    later = Twin.of(predictor, {**patient, "now": 51.5}).forecast(
        {**plan, "query": {"at": [7, 20]}, "treatments": [{**plan["treatments"][0], "t": -3 + 0}]}
    )
    assert later["reasons"] == ["implausible_input"]
    later = Twin.of(predictor, {**patient, "now": 48.5}).forecast(
        {**plan, "query": {"at": [10, 23]}, "treatments": [{**plan["treatments"][0], "t": 0}]}
    )
    assert [row["t"] for row in later["prediction"]] == [row["t"] for row in at_once["prediction"]]
    np.testing.assert_allclose(medians(at_once)[:, 0], medians(later)[:, 0], rtol=1e-6)


def test_an_event_after_now_is_future_dated(predictor, patient, plan):
    assert Twin.of(predictor, {**patient, "now": 41.4}).forecast(plan)["reasons"] == ["future_dated"]
    twin = Twin.of(predictor, {**patient, "now": 42})
    twin.observe(
        {"id": "p-1", "time_unit": "d", "observations": [{"t": 50, "variable": "volume", "value": 25, "unit": "cm3"}]}
    )
    assert twin.forecast(plan)["plan"]["start"] == 50


def test_now_at_the_last_event_is_not_in_the_future(predictor, plan):
    seen = [{"t": t / 10, "variable": "volume", "value": 20 + t, "unit": "cm3"} for t in range(1, 8)]
    answer = Twin.of(predictor, {"id": "a", "time_unit": "d", "now": 0.7, "observations": seen}).forecast(plan)
    assert "future_dated" not in answer["reasons"]


def test_negative_times_are_times(predictor, patient, plan):
    for record in (*patient["observations"], *patient["treatments"]):
        record.update({key: record[key] - 60 for key in ("t", "t_end") if key in record})
    answer = Twin.of(predictor, patient).forecast(plan)
    assert answer["status"] == "ok" and answer["prediction"][0]["t"] == -17.5


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda d: d["observations"][0].pop("unit"), ["unit_missing"]),
        (lambda d: d["observations"][0].update(unit="furlong"), ["unit_unknown"]),
        (lambda d: d["observations"][0].update(value=1e9), ["implausible_input"]),
        (lambda d: d["observations"][0].update(value=0), ["implausible_input"]),
        (lambda d: d["observations"][0].update(t=1e300), ["implausible_input"]),
        (lambda d: d["observations"][4].update(t=1e9), ["implausible_input"]),
        (lambda d: d["observations"][0].update(value=800), ["extrapolation"]),
        (lambda d: d["observations"].append({**d["observations"][0], "value": 21}), ["conflicting_input"]),
        (lambda d: d["observations"].clear(), ["too_few_observations"]),
        (lambda d: d.update(observations=d["observations"][:2]), ["too_few_observations"]),
        (lambda d: d["treatments"][0].update(treatment="herb"), ["unknown_treatment"]),
        (lambda d: d["treatments"][0].update(amount=-1), ["implausible_input"]),
        (lambda d: d["treatments"][0].update(amount=500), ["extrapolation"]),
        (lambda d: d["treatments"][0].update(amount=1e300), ["implausible_input"]),
        (lambda d: d["treatments"].extend([d["treatments"][0]] * 99), ["extrapolation"]),
        (lambda d: d["treatments"][2].update(rate=None, amount=4, t_end=None), ["unknown_treatment"]),
        (lambda d: d["treatments"][2].update(unit=None), ["unit_missing"]),
        (lambda d: d["static"].update(age={"value": 400, "unit": "a"}), ["implausible_input"]),
        (lambda d: d["static"].update(age={"value": 119, "unit": "a"}), ["extrapolation"]),
        (lambda d: d["static"].update(sex="x"), ["implausible_input"]),
        (lambda d: d["static"].update(age="old"), ["unit_missing"]),
        (lambda d: d.update(time_unit="fortnight"), ["unit_unknown"]),
    ],
)
def test_what_a_patient_document_makes_it_silent_for(predictor, patient, plan, change, reasons):
    change(patient)
    answer = Twin.of(predictor, patient).forecast(plan)
    assert answer["prediction"] is None and answer["status"] == "abstain"
    assert [reason for reason in answer["reasons"] if reason != "ood" or "ood" in reasons] == reasons
    assert all(Reason(reason) for reason in answer["reasons"]) and answer["details"]
    json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"query": {"every": 1, "until": 0}}, "missing_required"),
        ({"query": {"at": []}}, "missing_required"),
        ({"query": {"at": [0]}}, "missing_required"),
        ({"query": {"at": [-1, 5]}}, "missing_required"),
        ({"query": {"every": 1, "until": 201}}, "horizon_too_long"),
        ({"query": {"at": [1e300]}}, "horizon_too_long"),
        ({"time_unit": "fortnight"}, "unit_unknown"),
        ({"time_unit": ""}, "unit_missing"),
        ({"treatments": [{"t": -1, "treatment": "chemo", "amount": 5, "unit": "mg"}]}, "implausible_input"),
        ({"treatments": [{"t": 1, "treatment": "herb", "amount": 5, "unit": "mg"}]}, "unknown_treatment"),
        ({"treatments": [{"t": 1, "treatment": "chemo", "amount": 50, "unit": "mg"}]}, "extrapolation"),
        ({"treatments": [{"t": 1, "treatment": "chemo", "amount": 9, "unit": "mg"}] * 9}, "extrapolation"),
        ({"treatments": [{"t": 1, "t_end": 1 + 1e-12, "treatment": "drip", "rate": 5, "unit": "mg/h"}] * 2}, None),
    ],
)
def test_what_a_plan_makes_it_silent_for(predictor, patient, plan, change, reason):
    twin = Twin.of(predictor, patient)
    answer = twin.forecast({**plan, **change})
    assert answer["reasons"] == ([reason] if reason else answer["reasons"])
    assert twin.forecast(plan)["status"] == "ok"  # one plan's fault is not the patient's


def test_the_longest_horizon_is_answered(predictor, patient, plan):
    answer = Twin.of(predictor, patient).forecast({**plan, "query": {"at": [200]}})
    assert answer["status"] == "ok"
    waited = Twin.of(predictor, {**patient, "now": 51.5}).forecast({**plan, "query": {"at": [200]}})
    assert waited["reasons"] == ["horizon_too_long"] and "190 d" in waited["details"][0]


def test_treatments_far_beyond_the_horizon_are_not_walked_to(predictor, patient, plan):
    twin, far = Twin.of(predictor, patient), {"t": 1e12, "treatment": "chemo", "amount": 5, "unit": "mg"}
    same(twin.forecast(plan), twin.forecast({**plan, "treatments": [*plan["treatments"], far]}), 1e-5)


def test_beyond_training_but_not_far_is_a_warning(predictor, patient, plan):
    patient["treatments"][0]["amount"] = 11
    answer = Twin.of(predictor, patient).forecast(plan)
    assert answer["status"] == "degraded" and answer["reasons"] == ["extrapolation"] and answer["prediction"]


def test_what_is_not_known_is_ignored_and_told(predictor, patient, plan):
    patient["static"]["height"] = {"value": 180, "unit": "cm"}
    patient["observations"].append({"t": 1, "variable": "mood", "value": 3, "unit": "1"})
    patient["observations"].append(patient["observations"][0])
    answer = Twin.of(predictor, patient).forecast(plan)
    assert answer["status"] == "ok"
    assert answer["inputs_ignored"] == [
        {"at": "static.height", "why": "unknown covariate"},
        {"at": "observations.5", "why": "unknown variable"},
        {"at": "observations.6", "why": "repeats another observation"},
    ]


def test_silence_tells_no_value(predictor, patient, plan):
    patient["observations"][0].update(value=4321.5, unit="zq7")
    patient["treatments"][0]["treatment"] = "zq7"
    answer = Twin.of(predictor, patient).forecast(plan)
    assert "4321" not in json.dumps(answer) and "zq7" not in json.dumps(answer)
    assert INPUT_FAULTS & set(answer["reasons"])


def test_nothing_told_is_nothing_said(predictor, plan):
    assert Twin(predictor).forecast(plan)["reasons"] == ["missing_required"]


def test_one_more_query_changes_no_other_answer(predictor, patient, plan):
    twin = Twin.of(predictor, patient)
    few = twin.forecast({**plan, "query": {"at": [3, 50]}})
    many = twin.forecast({**plan, "query": {"at": sorted({3, 50, *np.arange(1, 60, 0.37).tolist()})}})
    chosen = [row for row in many["prediction"] if row["after"] in (3, 50)]
    same(few, {**many, "prediction": chosen})


def test_comparison(predictor, patient, plan):
    twin = Twin.of(predictor, patient)
    other = {**plan, "name": "none", "treatments": [], "time_unit": "h", "query": {"every": 48, "until": 2160}}
    answer = twin.compare([plan, other, {**plan, "name": "bad", "time_unit": "x"}])
    json.dumps(answer, allow_nan=False)
    assert [one["status"] for one in answer["plans"]] == ["ok", "ok", "abstain"]
    same(answer["plans"][0], twin.forecast(plan))
    same(answer["plans"][1], twin.forecast(other))
    rows = answer["differences"]
    assert {(row["a"], row["b"]) for row in rows} == {("as it is", "none")}
    assert [row["after"] for row in rows[::2]] == list(range(2, 91, 2)) and rows[0]["t"] == 43.5
    assert (
        rows[0]["median"] == 0 and rows[-1]["interval"]["lo"] <= rows[-1]["median"] <= rows[-1]["interval"]["hi"] != 0
    )
    assert answer["counterfactual"] == "observational"
    with pytest.raises(DocumentError, match="names of their own"):
        twin.compare([plan, plan])


def test_without_joint_draws_differences_are_not_identified(gru, patient, plan):
    answer = Twin.of(gru, patient).compare([plan, {**plan, "name": "b"}])
    assert answer["differences"] is None and answer["difference_reasons"] == ["not_identified"]
    assert answer["plans"][0]["prediction"]


def test_threads_that_share_a_predictor_agree_bit_for_bit(predictor, patient, plan):
    def ask(number):
        mine = {**patient, "static": {"sex": "f", "age": {"value": 40 + number % 4, "unit": "a"}}}
        return number % 4, without_request(Twin.of(predictor, mine).forecast(plan))

    alone = dict(map(ask, range(4)))
    with ThreadPoolExecutor(8) as pool:
        for number, answer in pool.map(ask, range(48)):
            assert answer == alone[number]


def test_numbers_are_rounded_as_text_would_round_them():
    from neurotwin.runtime.answer import rounded

    rng = np.random.default_rng(0)
    for digits, reach, tolerance in ((7, (-8, 12), 0.0), (7, (-290, 290), 1e-15), (12, (-20, 20), 1e-15)):
        values = 10 ** rng.uniform(*reach, 5000) * rng.choice([-1, 1], 5000)
        expected = [float(f"{value:.{digits}g}") for value in values.tolist()]
        np.testing.assert_allclose(rounded(values, digits), expected, rtol=tolerance, atol=0)
    assert np.isfinite(rounded(np.array([0.0, -0.0, 1e-320, 5e-324, 1e300]))).all()
