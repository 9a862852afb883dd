"""What a comparison says where the bundle has no calibration of differences, and where its part is spoiled."""

import json

import jsonschema
import pytest

from neurotwin.errors import BundleError
from neurotwin.runtime import Predictor, Twin, schemas


def test_a_bundle_without_the_part_says_joint_draws(predictor, patient, plan):
    assert predictor.paired is None
    answer = Twin.of(predictor, patient).compare([plan, {**plan, "name": "none", "treatments": []}])
    jsonschema.validate(answer, schemas()["comparison"])
    intervals = [row["interval"] for row in answer["differences"]]
    assert {tuple(sorted(one)) for one in intervals} == {("draws", "hi", "kind", "level", "lo")}
    assert {one["kind"] for one in intervals} == {"joint_draws"} and answer["difference_details"] == []


@pytest.mark.parametrize("part", [{}, [], None, {"schema_version": 1, "kind": "split_conformal_of_differences"}])
def test_a_part_that_cannot_be_read_is_refused_at_loading(part, node_bundle, copy_of, rehash):
    folder = copy_of(node_bundle)
    content = json.loads((folder / "calibration.json").read_text())
    (folder / "calibration.json").write_text(json.dumps({**content, "differences": part}))
    rehash(folder)
    with pytest.raises(BundleError, match="calibration.json: differences"):
        Predictor.load(folder)
