"""A patient of `neurotwin.simulators.t1d_uvapadova` at rest, and the constants that follow from it."""

from typing import TYPE_CHECKING, NamedTuple

from neurotwin.simulators.simulator import Value

if TYPE_CHECKING:
    from neurotwin.simulators.t1d_uvapadova import T1dUvaPadova


class Rest(NamedTuple):
    """Amounts at rest and constants that make it a rest; each a number or ``[batch]``.

    Attributes:
        plasma, tissue: glucose, mg/kg.
        insulin, liver, depots: insulin in plasma, in the liver and in the two depots under the skin, pmol/kg.
        basal: insulin given, pmol/kg/min (u2ss).
        production: kp1, mg/kg/min, of glucose where there is neither glucose nor insulin.
        uptake: Vm0, mg/kg/min, greatest of tissue.
        peripheral_clearance: m4, 1/min, two fifths of insulin's clearance at rest, of which the liver has the others.
        hepatic_clearance: m30, 1/min.
    """

    plasma: Value
    tissue: Value
    insulin: Value
    liver: Value
    depots: tuple[Value, Value]
    basal: Value
    production: Value
    uptake: Value
    peripheral_clearance: Value
    hepatic_clearance: Value


def rest_of(model: "T1dUvaPadova") -> Rest:
    """Where all slopes are 0: glucose and insulin are the fasting ones, and nothing is in the gut."""
    plasma, insulin = model.fasting_glucose * model.glucose_volume, model.fasting_insulin * model.insulin_volume
    above = plasma - model.renal_threshold
    net = model.fasting_production - model.independent_uptake - model.renal_rate * (above + abs(above)) / 2
    tissue = (model.glucose_to_tissue * plasma - net) / model.glucose_from_tissue
    held_back = model.production_glucose_effect * plasma + model.production_insulin_effect * model.fasting_insulin
    peripheral = model.insulin_to_liver * model.hepatic_extraction * 2 / 3
    hepatic = model.insulin_from_liver * model.hepatic_extraction / (1 - model.hepatic_extraction)
    liver = model.insulin_to_liver * insulin / (model.insulin_from_liver + hepatic)
    basal = peripheral * insulin + hepatic * liver
    depot = basal / (model.slow_insulin_absorption + model.dissociation_rate)
    return Rest(
        plasma=plasma,
        tissue=tissue,
        insulin=insulin,
        liver=liver,
        depots=(depot, model.dissociation_rate * depot / model.fast_insulin_absorption),
        basal=basal,
        production=model.fasting_production + held_back,
        uptake=net * (model.half_uptake + tissue) / tissue,
        peripheral_clearance=peripheral,
        hepatic_clearance=hepatic,
    )
