"""All data sets of one gamma and seed, drawn from one random stream as published, and kept on disk."""

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.cancer.simulator import Chances, Factual, Patients, draw_patients, simulate_factual
from benchmarks.cancer.testsets import TestSet, one_step_set, sequence_set

SIZES = (10_000, 1_000, 1_000)
"""Patients of training, validation and each test set, as published."""
PUBLISHED_SEEDS = (10, 101, 1010, 10101, 101010)
WORK = Path("runs/benchmarks/cancer")
"""What is made stands here, outside the repository."""


@dataclass(frozen=True)
class Sets:
    """The five data sets. The patients of ``sliding`` and ``randomised`` are the same; no other two share one."""

    train: Factual
    train_patients: Patients
    validation: Factual
    validation_patients: Patients
    one_step: TestSet
    sliding: TestSet
    randomised: TestSet


def draw_sets(gamma: float, seed: int, sizes: tuple[int, int, int] = SIZES) -> Sets:
    """Draw all sets. The two kinds of plans are two runs of the published code: both go on from the same stream."""
    random = np.random.RandomState(seed)
    factual: list[Any] = []
    for n in sizes[:2]:
        patients = draw_patients(random, n)
        factual += [simulate_factual(patients, gamma, Chances.draw(random, n)), patients]
    one_step = one_step_set(random, draw_patients(random, sizes[2]), gamma)
    patients, state = draw_patients(random, sizes[2]), random.get_state()
    sliding = sequence_set(random, patients, gamma, "sliding")
    random.set_state(state)
    return Sets(*factual, one_step, sliding, sequence_set(random, patients, gamma, "random"))


def load_sets(gamma: float, seed: int, sizes: tuple[int, int, int] = SIZES, work: Path = WORK) -> Sets:
    """The sets, from disk where they have been drawn before."""
    path = work / "sets" / f"gamma{gamma:g}_seed{seed}_{'_'.join(map(str, sizes))}.npz"
    if path.exists():
        with np.load(path) as content:
            return _unpack({name: content[name] for name in content.files})
    sets = draw_sets(gamma, seed, sizes)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.npz")
    np.savez_compressed(draft, **_pack(sets))
    draft.replace(path)
    return sets


def _pack(sets: Sets) -> dict[str, Any]:
    found = {}
    for name, content in asdict(sets).items():
        for field, value in content.items():
            columns = value.items() if isinstance(value, dict) else [("", value)]
            found |= {f"{name}.{field}.{key}".rstrip("."): array for key, array in columns}
    return found


def _unpack(content: dict[str, Any]) -> Sets:
    kinds = {field.name: field.type for field in fields(Sets)}

    def part(kind: Any, prefix: str) -> Any:
        nested = {"patients": Patients} if kind is TestSet else {}
        return kind(**{
            field.name: part(nested[field.name], f"{prefix}.{field.name}")
            if field.name in nested
            else content[f"{prefix}.{field.name}"]
            for field in fields(kind)
        })  # fmt: skip

    return Sets(**{name: part(kind, name) for name, kind in kinds.items()})
