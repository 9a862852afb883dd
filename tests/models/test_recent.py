"""What is known of a patient's last visits without learning."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import toy_cohort

from neurotwin.models.recent import Recent
from neurotwin.solvers import Rows

VALUES = st.lists(
    st.lists(st.one_of(st.none(), st.floats(-5, 5, width=32)), min_size=2, max_size=2), min_size=1, max_size=8
)
SCHEMA = toy_cohort(4).schema


def visit(values):
    value = torch.tensor([[0.0 if one is None else one for one in values]])
    mask = torch.tensor([[float(one is not None) for one in values]])
    empty = torch.zeros(1, len(SCHEMA.treatments))
    fields = dict.fromkeys(Rows._fields, torch.zeros(1)) | {"control": empty, "jump": empty}
    return Rows(**fields | {"value": value, "mask": mask, "censor": torch.zeros_like(mask)})


@given(VALUES)
def test_rise_and_fall_are_those_of_all_values_so_far(courses):
    recent = Recent(SCHEMA, extremes=True)
    block, seen = torch.zeros(1, recent.size), [[], []]
    for values in courses:
        row = visit(values)
        changes, since = recent.told(block, row)
        block = recent.renewed(block, row)
        for number, value in enumerate(values):
            if value is not None:
                seen[number].append(value)
        assert changes.shape == (1, recent.n_changes) and since.shape == (1, recent.n_since)
        last, rise, fall, known = block[:, : recent.n_seen].split(2, dim=1)
        for number, past in enumerate(seen):
            if past:
                expected = torch.tensor([past[-1], past[-1] - min(past), max(past) - past[-1], 1.0])
                found = torch.stack([one[0, number] for one in (last, rise, fall, known)])
                assert torch.allclose(found, expected, atol=1e-5)
            else:
                assert not torch.stack([rise[0, number], fall[0, number], known[0, number]]).any()


def test_a_visit_is_told_of_the_new_extreme_itself():
    recent = Recent(SCHEMA, extremes=True)
    block = torch.zeros(1, recent.size)
    for value in (2.0, 1.0):
        block = recent.renewed(block, visit([value, None]))
    _, rise, fall = recent.told(block, visit([0.5, None]))[0].split(2, dim=1)
    assert rise[0, 0] == 0 and fall[0, 0] == 1.5


def test_without_extremes_only_the_last_value_is_kept():
    recent = Recent(SCHEMA)
    block = recent.renewed(torch.zeros(1, recent.size), visit([2.0, None]))
    assert recent.size == 2 + recent.n_since and block[0, :2].tolist() == [2.0, 0.0]
