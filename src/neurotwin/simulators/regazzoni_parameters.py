"""Names, units, ranges and sources of the 52 parameters of the closed-loop circulation, and names of its waveforms."""

from collections.abc import Mapping

from neurotwin.simulators.simulator import Parameter

PAPER = "Regazzoni et al., J Comput Phys 457:111083 (2022), as in the package circulation 0.4.0"
CHAMBERS = ("left_atrium", "left_ventricle", "right_atrium", "right_ventricle")
VALVES = ("mitral", "aortic", "tricuspid", "pulmonary")
VESSELS = ("systemic_arterial", "systemic_venous", "pulmonary_arterial", "pulmonary_venous")
WAVEFORMS = (
    *(f"{chamber}_pressure" for chamber in CHAMBERS),
    *(f"{valve}_valve_flow" for valve in VALVES),
    "external_flow",
)
ELASTANCE, RESISTANCE = "mm[Hg]/mL", "mm[Hg].s/mL"

PARAMETERS: Mapping[str, Parameter] = {
    "heart_rate": Parameter("/min", (48.0, 150.0), PAPER),
    "duration_scaling": Parameter("1", (0.0, 1.0), "0 as published; scaling is a proposal of this project"),
    **{
        f"{part}_{name}": Parameter("s", span, PAPER)
        for part in ("atrial", "ventricular")
        for name, span in (
            ("contraction_start", (0.0, 2.0)),
            ("contraction_time", (0.05, 0.4)),
            ("relaxation_time", (0.05, 1.0)),
        )
    },
    **{
        f"{chamber}_{name}": Parameter(unit, span, PAPER)
        for chamber in CHAMBERS
        for name, unit, span in (
            ("active_elastance", ELASTANCE, (0.0, 8.0)),
            ("passive_elastance", ELASTANCE, (0.001, 1.0)),
            ("unloaded_volume", "mL", (0.0, 200.0)),
        )
    },
    **{
        f"{valve}_valve_{name}_resistance": Parameter(RESISTANCE, span, PAPER)
        for valve in VALVES
        for name, span in (("open", (0.007, 2.0)), ("closed", (0.5, 1e6)))
    },
    **{
        f"{vessel}_{name}": Parameter(unit, span, PAPER)
        for vessel in VESSELS
        for name, unit, span in (
            ("resistance", RESISTANCE, (1e-4, 5.0)),
            ("compliance", "mL/mm[Hg]", (0.3, 100.0)),
            ("inertance", "mm[Hg].s2/mL", (2e-4, 0.1)),
        )
    },
    **{f"initial_{chamber}_volume": Parameter("mL", (0.0, 1000.0), PAPER) for chamber in CHAMBERS},
    **{f"initial_{vessel}_pressure": Parameter("mm[Hg]", (-50.0, 400.0), PAPER) for vessel in VESSELS},
    **{f"initial_{vessel}_flow": Parameter("mL/s", (-5000.0, 5000.0), PAPER) for vessel in VESSELS},
}
"""Ranges keep the fastest rate (E / Rmin, R / L) near what fixed steps of 1 ms can follow, about 2700/s."""
