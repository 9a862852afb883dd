"""Open Inference Protocol V2: the real client of Triton, and bodies that no client sends."""

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_cases import body

MODEL = "/v2/models/lung_tumour"
CANARY = "zq7canary"
HEADER = "Inference-Header-Content-Length"
NATIVE = body("PredictQuestion")
OUTPUTS = ["answer", "status", "channel", "time", "median", "lower", "upper"]


def tensor(name, *documents, **changes):
    """An input in JSON."""
    data = [one if isinstance(one, str) else json.dumps(one) for one in documents]
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data} | changes


def question(*plans, patient=None, **more):
    """An inference request."""
    return {
        "inputs": [tensor("patient", patient or NATIVE["patient"]), tensor("plan", *(plans or [NATIVE["plan"]]))]
    } | more


def outputs_of(response):
    """Outputs by name."""
    assert response.status_code == 200, response.text
    return {one["name"]: one for one in response.json()["outputs"]}


def test_health_tells_both_fields(client):
    assert client.get("/v2/health/live").json()["live"] is True
    assert client.get("/v2/health/ready").json() == {"ready": True, "live": True}


def test_metadata(client):
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    for path in (MODEL, f"{MODEL}/versions/0.1.0"):
        told = client.get(path).json()
        assert (told["name"], told["versions"]) == ("lung_tumour", ["0.1.0"])
        assert {one["name"]: one["datatype"] for one in told["inputs"]} == {"patient": "BYTES", "plan": "BYTES"}
        assert [one["name"] for one in told["outputs"]] == OUTPUTS
        assert client.get(f"{path}/ready").json() == {"name": "lung_tumour", "ready": True}
    assert client.post("/v2/repository/index").json()[0]["state"] == "READY"


def test_the_answer_is_the_native_one(client):
    found = outputs_of(client.post(f"{MODEL}/infer", json=question()))
    native = client.post("/v1/twins/lung_tumour/predict", json=NATIVE).json()
    answer = json.loads(found["answer"]["data"][0])
    assert answer | {"request_id": ""} == native | {"request_id": ""}
    assert found["status"]["data"] == ["ok"] and found["channel"]["data"] == ["tumour_volume"]
    assert found["median"]["shape"] == [1, 6, 1] and found["time"]["shape"] == [1, 6]
    assert found["median"]["data"] == [row["median"] for row in native["prediction"]]
    assert found["lower"]["data"] == [row["interval"]["lo"] for row in native["prediction"]]
    assert found["upper"]["data"] == [row["interval"]["hi"] for row in native["prediction"]]
    assert found["time"]["data"] == [row["t"] for row in native["prediction"]]


def test_several_plans_are_compared(client):
    other = NATIVE["plan"] | {"name": "none", "treatments": []}
    response = client.post(f"{MODEL}/versions/0.1.0/infer", json=question(NATIVE["plan"], other, id="r-1"))
    assert response.json()["id"] == "r-1" and response.json()["model_version"] == "0.1.0"
    found = outputs_of(response)
    assert found["median"]["shape"] == [2, 6, 1] and found["status"]["data"] == ["ok", "ok"]
    assert json.loads(found["answer"]["data"][0])["differences"]


def test_abstention_is_a_status_and_nulls(client):
    far = NATIVE["plan"] | {"name": "too far", "query": {"every": 100, "until": 600}}
    found = outputs_of(client.post(f"{MODEL}/infer", json=question(NATIVE["plan"], far)))
    assert found["status"]["data"] == ["ok", "abstain"]
    assert found["median"]["data"][6:] == [None] * 6 and None not in found["median"]["data"][:6]


def test_outputs_are_chosen(client):
    chosen = [{"name": "status"}, {"name": "time", "parameters": {"binary_data": False, "x": 1}}]
    response = client.post(f"{MODEL}/infer", json=question(outputs=chosen, parameters={"priority": 1}))
    assert list(outputs_of(response)) == ["status", "time"]
    uneven = NATIVE["plan"] | {"name": "b", "query": {"at": [3]}}
    response = client.post(f"{MODEL}/infer", json=question(NATIVE["plan"], uneven, outputs=[{"name": "status"}]))
    assert outputs_of(response)["status"]["data"] == ["ok", "ok"]


BAD = {
    "no inputs": {"inputs": []},
    "no such field": question(mode="fast"),
    "one input": {"inputs": question()["inputs"][:1]},
    "an input twice": {"inputs": question()["inputs"] + question()["inputs"][:1]},
    "another input": {"inputs": [tensor("patient", {}), tensor("image", {})]},
    "another datatype": {"inputs": [tensor("patient", {}, datatype="FP64"), tensor("plan", {})]},
    "another shape": {"inputs": [tensor("patient", {}, shape=[2]), tensor("plan", {})]},
    "another rank": {"inputs": [tensor("patient", {}, shape=[1, 1]), tensor("plan", {})]},
    "a broken shape": {"inputs": [tensor("patient", {}, shape=[1.5]), tensor("plan", {})]},
    "no data": {"inputs": [tensor("patient", {}, data=None), tensor("plan", {})]},
    "numbers as data": {"inputs": [tensor("patient", {}, data=[1]), tensor("plan", {})]},
    "no plan": {"inputs": [tensor("patient", {}), tensor("plan")]},
    "too many plans": {"inputs": [tensor("patient", {}), tensor("plan", *["{}"] * 51)]},
    "binary data that are not there": {
        "inputs": [tensor("patient", {}, data=None, parameters={"binary_data_size": 9}), tensor("plan", {})]
    },
    "data twice": {"inputs": [tensor("patient", {}, parameters={"binary_data_size": 0}), tensor("plan", {})]},
    "no such output": question(outputs=[{"name": "embedding"}]),
    "classification": question(outputs=[{"name": "median", "parameters": {"classification": 2}}]),
    "uneven plans": question(NATIVE["plan"], NATIVE["plan"] | {"name": "b", "query": {"at": [3]}}),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_of_the_protocol_is_400(client, name):
    response = client.post(f"{MODEL}/infer", json=BAD[name])
    assert response.status_code == 400 and list(response.json()) == ["error"], response.text


def test_other_faults_are_told_as_the_protocol_wants(client):
    wrong = {"patient": NATIVE["patient"] | {"id": 7}}
    faults = [
        (client.get("/v2/models/other"), 404),
        (client.get(f"{MODEL}/versions/9.9.9/ready"), 404),
        (client.post("/v2/models/other/infer", json=question()), 404),
        (client.get("/v2/nothing"), 404),
        (client.post(f"{MODEL}/infer", content=b"{"), 400),
        (client.post(f"{MODEL}/infer", json=question(patient=wrong["patient"])), 422),
        (client.post(f"{MODEL}/infer", json=question(patient="{")), 400),
        (client.post(f"{MODEL}/infer", content=b"{}", headers={HEADER: "3"}), 400),
        (client.post(f"{MODEL}/infer", content=b"{}", headers={HEADER: "-1"}), 400),
    ]
    for response, status in faults:
        assert response.status_code == status and isinstance(response.json()["error"], str), response.text


def test_the_real_client(serving):
    triton = pytest.importorskip("tritonclient.http")
    with triton.InferenceServerClient(serving.url.removeprefix("http://")) as real:
        assert real.is_server_live() and real.is_server_ready()
        assert real.is_model_ready("lung_tumour") and real.is_model_ready("lung_tumour", "0.1.0")
        assert not real.is_model_ready("other")
        assert real.get_server_metadata()["name"] == "neurotwin"
        assert real.get_model_metadata("lung_tumour")["versions"] == ["0.1.0"]
        assert real.get_model_repository_index()[0]["name"] == "lung_tumour"
        results = [_infer(triton, real, binary) for binary in (True, False, None)]
        status = pytest.importorskip("tritonclient.utils").InferenceServerException
        with pytest.raises(status, match="no such model"):
            real.get_model_metadata("other")
    for found in results:
        assert [text_of(one) for one in found["status"]] == ["ok", "abstain"]
        assert found["median"].dtype == np.float64 and found["median"].shape == (2, 6, 1)
        assert np.isfinite(found["median"][0]).all() and np.isnan(found["median"][1]).all()
        np.testing.assert_array_equal(found["median"], results[0]["median"])
        np.testing.assert_array_equal(found["time"], results[0]["time"])
        assert json.loads(found["answer"][0])["plans"][1]["reasons"] == ["horizon_too_long"]


def text_of(element):
    """The client gives BYTES as bytes from binary, and as text from JSON."""
    return element.decode() if isinstance(element, bytes) else element


def _infer(triton, real, binary):
    """Two plans, the second too long; ``binary`` None: all outputs, as the client asks by default."""
    far = NATIVE["plan"] | {"name": "too far", "query": {"every": 100, "until": 600}}
    patient = triton.InferInput("patient", [1], "BYTES")
    patient.set_data_from_numpy(np.array([json.dumps(NATIVE["patient"])], np.object_), binary_data=binary is not False)
    plan = triton.InferInput("plan", [2], "BYTES")
    texts = [json.dumps(one) for one in (NATIVE["plan"], far)]
    plan.set_data_from_numpy(np.array(texts, np.object_), binary_data=binary is not False)
    chosen = None if binary is None else [triton.InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]
    result = real.infer("lung_tumour", [patient, plan], outputs=chosen, request_id="7")
    assert result.get_response()["id"] == "7"
    return {name: result.as_numpy(name) for name in OUTPUTS}


def binary(head, *tensors):
    """A body with tensors behind the JSON, and its headers."""
    text = json.dumps(head).encode()
    return text + b"".join(tensors), {HEADER: str(len(text))}


def elements(*texts):
    """A BYTES tensor in binary."""
    return b"".join(struct.pack("<I", len(one)) + one for one in texts)


PART = st.one_of(
    st.binary(max_size=60), st.builds(elements, st.binary(max_size=20)), st.just(elements(CANARY.encode()))
)
SIZE = st.one_of(st.integers(-3, 80), st.just(CANARY), st.none(), st.booleans(), st.floats())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(PART, min_size=2, max_size=2),
    sizes=st.lists(SIZE, min_size=2, max_size=2),
    shape=st.lists(st.one_of(st.integers(-1, 60), st.floats(allow_nan=False), st.just(CANARY)), max_size=3),
    length=st.one_of(st.none(), st.integers(0, 400).map(str), st.just("9" * 30), st.just("x")),
    honest=st.booleans(),
)
def test_no_binary_body_is_a_fault_of_the_service(client, parts, sizes, shape, length, honest):
    told = [len(one) for one in parts] if honest else sizes
    head = {
        "inputs": [
            {
                "name": name,
                "shape": [1] if honest else shape,
                "datatype": "BYTES",
                "parameters": {"binary_data_size": size},
            }
            for name, size in zip(("patient", "plan"), told, strict=True)
        ]
    }
    content, headers = binary(head, *parts)
    if length is not None:
        headers[HEADER] = length
    response = client.post(f"{MODEL}/infer", content=content, headers=headers)
    assert 400 <= response.status_code < 500 and CANARY not in response.text


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.just(CANARY),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(["inputs", "outputs", "parameters", "shape", "datatype", "data", "name", "more"]), value=JSON
)
def test_no_json_body_is_a_fault_of_the_service(client, key, value):
    content = question()
    if key in ("inputs", "outputs", "parameters", "more"):
        content[key] = value
    else:
        content["inputs"][0][key] = value
    response = client.post(f"{MODEL}/infer", json=content)
    assert response.status_code < 500
    assert response.status_code == 200 or CANARY not in response.text
