"""The bundles in tests/data are what an export makes today: else `python tests/toy_bundles.py` is due."""

import json

import pytest
from toy_bundles import BUNDLES, KINDS, export_toy

from neurotwin.bundle import Bundle
from neurotwin.runtime import Predictor


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
def test_the_kept_bundle_is_what_is_exported_today(kind, tmp_path):
    kept, fresh = Bundle.load(BUNDLES / f"toy_{kind}@0.1.0"), Bundle.load(export_toy(tmp_path, kind))
    assert set(kept.manifest["files"]) == set(fresh.manifest["files"])
    assert json.dumps(kept.signature, sort_keys=True) == json.dumps(fresh.signature, sort_keys=True)
    # Each answers the other's golden cases.
    for one, other in ((kept, fresh), (fresh, kept)):
        predictor = Predictor(one)
        predictor.bundle = other
        predictor.check_golden()
