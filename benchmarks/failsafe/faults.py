"""Faults that an application can make, each as a change of a good patient document and plan."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.failsafe.documents import Document

from neurotwin.runtime.channels import FIELD_OF, Channel, Signature

SMALLER = {"d": 24.0, "h": 60.0, "min": 60.0}
Change = Callable[[Document, Document], None]


@dataclass(frozen=True)
class Fault:
    """``change`` acts on a patient and a plan; ``group`` is what goals are about. Of values told in another unit,
    ``channel`` and ``factor`` say which."""

    name: str
    group: str
    change: Change
    channel: str = ""
    factor: float = 1.0

    def of(self, patient: Document, plan: Document) -> tuple[Document, Document]:
        """Copies with the fault."""
        patient, plan = copy.deepcopy(patient), copy.deepcopy(plan)
        self.change(patient, plan)
        return patient, plan


def faults_of(signature: Signature) -> list[Fault]:
    """All that the bundle's channels allow."""
    found = [
        Fault("times in the next smaller unit", "time unit", _time(SMALLER[signature.time_unit])),
        Fault("times in the next larger unit", "time unit, too large", _time(1 / SMALLER[signature.time_unit])),
        Fault("an observation after now", "future-dated", _future),
        Fault("a value without a unit", "unit missing", _unit(None)),
        Fault("a unit of another kind", "unit unknown", _unit("kat")),
        Fault("a treatment that no one knows", "unknown treatment", _unknown),
    ]
    for channel in signature.variables:
        for factor in (18.0, 88.4, 1000.0):
            told = (channel.name, factor)
            found.append(Fault(f"{channel.name} x{factor:g}", f"x{factor:g}", _scale(*told), *told))
        for factor in (18.0, 88.4, 1000.0):
            name = f"{channel.name} / {factor:g}"
            found.append(Fault(name, f"/{factor:g}", _scale(channel.name, 1 / factor)))
        found.append(Fault(f"last {channel.name} x18", "x18, one value", _scale(channel.name, 18.0, last=True)))
        found.append(Fault(f"{channel.name} negative", "negative", _scale(channel.name, -1.0)))
    for one in signature.variables[:-1]:
        for other in signature.variables[signature.variables.index(one) + 1 :]:
            found.append(Fault(f"{one.name} and {other.name} swapped", "swapped channels", _swap(one, other)))
    for channel in signature.treatments:
        if channel.trained is not None and channel.trained[1] > 0:
            amount = 100 * channel.trained[1]
            found.append(Fault(f"{channel.name} x100", "dose x100", _dose(channel, amount)))
            found.append(Fault(f"{channel.name} negative", "dose negative", _dose(channel, -amount / 100)))
    for static in signature.statics:
        if static.levels:
            found.append(Fault(f"{static.name}: a level that is none", "unknown level", _level(static.name)))
        elif static.name == "age":
            found.append(Fault("age 400", "age 400", _static("age", 0.0, 400.0)))
        else:
            found += [
                Fault(f"{static.name} x{factor:g}", f"covariate x{factor:g}", _static(static.name, factor, 0.0))
                for factor in (18.0, 88.4)
            ]
    return found


def _scale(variable: str, factor: float, *, last: bool = False) -> Change:
    """Values in another unit, labelled with the old one."""

    def change(patient: Document, plan: Document) -> None:
        own = [record for record in patient["observations"] if record["variable"] == variable]
        for record in own[-1:] if last else own:
            record["value"] *= factor

    return change


def _swap(one: Channel, other: Channel) -> Change:
    """Values of two channels in each other's place, labelled as the place says."""

    def change(patient: Document, plan: Document) -> None:
        place = {one.name: other, other.name: one}
        for record in patient["observations"]:
            if record["variable"] in place:
                channel = place[record["variable"]]
                record |= {"variable": channel.name, "unit": channel.unit}

    return change


def _time(factor: float) -> Change:
    """All times of the patient and the plan in another unit, labelled with the old one."""

    def change(patient: Document, plan: Document) -> None:
        patient["now"] *= factor
        for record in (*patient["observations"], *patient["treatments"], *plan["treatments"]):
            for name in {"t", "t_end"} & record.keys():
                record[name] *= factor
        plan["query"] = {"at": [factor * time for time in plan["query"]["at"]]}

    return change


def _future(patient: Document, plan: Document) -> None:
    first = patient["observations"][0]
    patient["observations"].append({**first, "t": patient["now"] + 1.0})


def _unit(unit: Any) -> Change:
    def change(patient: Document, plan: Document) -> None:
        patient["observations"][-1]["unit"] = unit

    return change


def _unknown(patient: Document, plan: Document) -> None:
    plan["treatments"].append({"t": 0.0, "treatment": "laetrile", "amount": 1.0, "unit": "mg"})


def _dose(channel: Channel, amount: float) -> Change:
    """An amount of the plan that no patient was given: the largest of training times a hundred, or negative."""

    def change(patient: Document, plan: Document) -> None:
        record = {"t": 0.0, "treatment": channel.name, FIELD_OF[channel.kind]: amount, "unit": channel.unit}
        if channel.kind != "bolus":
            record["t_end"] = plan["query"]["at"][-1]
        plan["treatments"] = [one for one in plan["treatments"] if one["treatment"] != channel.name] + [record]
        plan["ongoing"] = "stop"

    return change


def _level(name: str) -> Change:
    def change(patient: Document, plan: Document) -> None:
        patient["static"][name] = "none of them"

    return change


def _static(name: str, factor: float, shift: float) -> Change:
    def change(patient: Document, plan: Document) -> None:
        told = patient["static"][name]
        patient["static"][name] = {**told, "value": told["value"] * factor + shift}

    return change
