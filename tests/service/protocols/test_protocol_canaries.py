"""What a record holds is never seen again beside its answer: not in errors, metrics, audit lines or logs."""

import json
import logging

from fhir_records import EVENT, PATIENT, administration, bundle, observation, parameters, plan, request
from service_cases import body

CANARY = "zq7canary{}zq7"
NUMBER = 31.41592653


def canaries():
    """A record of which each text and number that a patient may be known by is one."""
    who = {"reference": f"Patient/{CANARY.format(0)}"}
    told = [
        PATIENT | {"id": CANARY.format(0), "name": [{"family": CANARY.format(1)}], "birthDate": "1931-04-15"},
        *(
            observation(CANARY.format(n), n, NUMBER, subject=who, note=[{"text": CANARY.format(n)}])
            for n in (2, 11, 21)
        ),
        administration(CANARY.format(3), 12, 2, subject=who),
    ]
    orders = plan(request(CANARY.format(4), (22,), subject=who), name=CANARY.format(5))
    return told, orders


def test_canaries_are_never_seen_again(coded, caplog):
    caplog.set_level(logging.DEBUG)
    told, orders = canaries()
    hook = {
        "hook": "patient-view",
        "hookInstance": CANARY.format(6),
        "fhirAuthorization": {"access_token": CANARY.format(7)},
        "context": {"userId": CANARY.format(8), "patientId": CANARY.format(0)},
        "prefetch": {"patient": told[0], "observations": bundle(told[1:4]), "administrations": bundle(told[4:])},
    }
    native = body("PredictQuestion")
    native["patient"] |= {"id": CANARY.format(9)}
    tensors = [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [json.dumps(native[name])]}
        for name in ("patient", "plan")
    ]
    asked = [
        ("/fhir/lung_tumour/$forecast", parameters(told, orders, EVENT)),
        ("/cds-services/lung_tumour-patient-view", hook),
        ("/v2/models/lung_tumour/infer", {"id": CANARY.format(10), "inputs": tensors}),
    ]
    for path, content in asked:
        assert coded.post(path, json=content).status_code == 200
        spoiled = json.dumps(content).replace("lung", CANARY.format(11))[:-1] + f', "{CANARY.format(12)}": 1}}'
        response = coded.post(path, content=spoiled)
        assert 400 <= response.status_code < 500 and "zq7" not in response.text
    seen = [coded.get("/metrics").text, coded.audit.read_text(), *(record.getMessage() for record in caplog.records)]
    for text in seen:
        if text.startswith("HTTP Request"):
            continue  # the test's own client
        assert "zq7" not in text and "31.4159" not in text and "1931-04-15" not in text
