"""Blood circulation in a closed loop: four chambers, four valves, and four vessels with inertia.

Source: F. Regazzoni, M. Salvador, P. C. Africa, M. Fedele, L. Dede, A. Quarteroni, "A cardiac electromechanics model
coupled with a lumped parameters model for closed-loop blood circulation. Part I: model derivation" (2020), published as
Journal of Computational Physics 457:111083 (2022); equations of the circulation and constants as the Python package
circulation 0.4.0 has them, with four chambers of time-varying elastance.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace
from scipy.special import ndtr, ndtri

from neurotwin.schema import Treatment, Variable
from neurotwin.simulators.heart_beats import last_beat, settle
from neurotwin.simulators.heart_mechanics import Waveforms, activation, log_of, valve_flow
from neurotwin.simulators.regazzoni_parameters import CHAMBERS, PAPER, PARAMETERS, VESSELS
from neurotwin.simulators.simulator import (
    Array,
    Parameter,
    PopulationDraw,
    Screening,
    Simulator,
    State,
    Value,
    Window,
    stack_state,
)

PUBLISHED_RATE = 75.0
DOUBLING = math.log(2)
# Proposed coefficients of variation between subjects, log-normal, cut at 2.5 standard deviations.
BETWEEN_SUBJECTS = {
    "heart_rate": 0.12,
    **{f"{chamber}_{kind}_elastance": 0.2 for chamber in CHAMBERS for kind in ("active", "passive")},
    **{f"{vessel}_{kind}": 0.2 for vessel in VESSELS for kind in ("resistance", "compliance")},
}
CUT = 2.5
# Lowest and highest systolic pressure (mmHg), ejection fraction and cardiac output (L/min) of a virtual patient.
SYSTOLIC, EJECTION, OUTPUT = (80.0, 200.0), (0.15, 0.75), (2.0, 9.0)
BEATS_TO_SETTLE = 20


@dataclass(frozen=True)
class RegazzoniCirculation(Simulator):
    """Time in s, volumes in mL, pressures in mmHg, flows in mL/s.

        V_LA' = Q_VEN_PUL - Q_MV    V_LV' = Q_MV - Q_AV    V_RA' = Q_VEN_SYS - Q_TV    V_RV' = Q_TV - Q_PV
        C p_AR' = Q_valve - Q_AR    C p_VEN' = Q_AR - Q_VEN + I    L Q' = p_up - p_down - R Q        (SYS and PUL)
        p = E (V - V0)    E = EA phi + EB    RR = 60 / heart rate
        phi = (1 - cos(pi a / TC)) / 2 while a < TC, plus (1 + cos(pi b / TR)) / 2 while b < TR,
            a = mod(t - tC, RR), b = mod(t - tC - TC, RR)
        Q_valve = d / 10^(log Rmin + (log Rmax - log Rmin) (1/2 - atan(100 pi d) / pi)),    d = p_up - p_down

    I (into the systemic veins) is fluid - bleeding. A 13th state counts beats, from the first contraction of the
    ventricles on: its slope is the heart rate, so the rate may change on the way and the phase does not jump. Sums of
    treatments that overlap: heart rates add; inotropy, vascular tone and both valve settings are logs to base 2 of a
    factor (1 doubles, -1 halves), so their factors multiply.

    Args, with the source's symbols (units: `PARAMETERS`; an initial value is that of the state at time 0):
        heart_rate: HR.  duration_scaling: exponent.  atrial_contraction_start: tC.  atrial_contraction_time: TC.
        atrial_relaxation_time: TR.  ventricular_contraction_start: tC.  ventricular_contraction_time: TC.
        ventricular_relaxation_time: TR.  left_atrium_active_elastance: EA_LA.  left_atrium_passive_elastance: EB_LA.
        left_atrium_unloaded_volume: V0_LA.  left_ventricle_active_elastance: EA_LV.
        left_ventricle_passive_elastance: EB_LV.  left_ventricle_unloaded_volume: V0_LV.
        right_atrium_active_elastance: EA_RA.  right_atrium_passive_elastance: EB_RA.
        right_atrium_unloaded_volume: V0_RA.  right_ventricle_active_elastance: EA_RV.
        right_ventricle_passive_elastance: EB_RV.  right_ventricle_unloaded_volume: V0_RV.
        mitral_valve_open_resistance: Rmin_MV.  mitral_valve_closed_resistance: Rmax_MV.
        aortic_valve_open_resistance: Rmin_AV.  aortic_valve_closed_resistance: Rmax_AV.
        tricuspid_valve_open_resistance: Rmin_TV.  tricuspid_valve_closed_resistance: Rmax_TV.
        pulmonary_valve_open_resistance: Rmin_PV.  pulmonary_valve_closed_resistance: Rmax_PV.
        systemic_arterial_resistance: R_AR_SYS.  systemic_arterial_compliance: C_AR_SYS.
        systemic_arterial_inertance: L_AR_SYS.  systemic_venous_resistance: R_VEN_SYS.
        systemic_venous_compliance: C_VEN_SYS.  systemic_venous_inertance: L_VEN_SYS.
        pulmonary_arterial_resistance: R_AR_PUL.  pulmonary_arterial_compliance: C_AR_PUL.
        pulmonary_arterial_inertance: L_AR_PUL.  pulmonary_venous_resistance: R_VEN_PUL.
        pulmonary_venous_compliance: C_VEN_PUL.  pulmonary_venous_inertance: L_VEN_PUL.
        initial_left_atrium_volume: V_LA(0).  initial_left_ventricle_volume: V_LV(0).
        initial_right_atrium_volume: V_RA(0).  initial_right_ventricle_volume: V_RV(0).
        initial_systemic_arterial_pressure: p_AR_SYS(0).  initial_systemic_venous_pressure: p_VEN_SYS(0).
        initial_pulmonary_arterial_pressure: p_AR_PUL(0).  initial_pulmonary_venous_pressure: p_VEN_PUL(0).
        initial_systemic_arterial_flow: Q_AR_SYS(0).  initial_systemic_venous_flow: Q_VEN_SYS(0).
        initial_pulmonary_arterial_flow: Q_AR_PUL(0).  initial_pulmonary_venous_flow: Q_VEN_PUL(0).
    """

    heart_rate: Value = 75.0
    duration_scaling: Value = 0.0
    atrial_contraction_start: Value = 0.9
    atrial_contraction_time: Value = 0.17
    atrial_relaxation_time: Value = 0.17
    ventricular_contraction_start: Value = 0.1
    ventricular_contraction_time: Value = 0.25
    ventricular_relaxation_time: Value = 0.4
    left_atrium_active_elastance: Value = 0.07
    left_atrium_passive_elastance: Value = 0.18
    left_atrium_unloaded_volume: Value = 4.0
    left_ventricle_active_elastance: Value = 4.482
    left_ventricle_passive_elastance: Value = 0.17
    left_ventricle_unloaded_volume: Value = 42.0
    right_atrium_active_elastance: Value = 0.06
    right_atrium_passive_elastance: Value = 0.07
    right_atrium_unloaded_volume: Value = 4.0
    right_ventricle_active_elastance: Value = 0.2
    right_ventricle_passive_elastance: Value = 0.029
    right_ventricle_unloaded_volume: Value = 16.0
    mitral_valve_open_resistance: Value = 0.0075
    mitral_valve_closed_resistance: Value = 75006.2
    aortic_valve_open_resistance: Value = 0.0075
    aortic_valve_closed_resistance: Value = 75006.2
    tricuspid_valve_open_resistance: Value = 0.0075
    tricuspid_valve_closed_resistance: Value = 75006.2
    pulmonary_valve_open_resistance: Value = 0.0075
    pulmonary_valve_closed_resistance: Value = 75006.2
    systemic_arterial_resistance: Value = 0.733
    systemic_arterial_compliance: Value = 1.372
    systemic_arterial_inertance: Value = 0.005
    systemic_venous_resistance: Value = 0.32
    systemic_venous_compliance: Value = 11.363
    systemic_venous_inertance: Value = 0.0005
    pulmonary_arterial_resistance: Value = 0.046
    pulmonary_arterial_compliance: Value = 20.0
    pulmonary_arterial_inertance: Value = 0.0005
    pulmonary_venous_resistance: Value = 0.0015
    pulmonary_venous_compliance: Value = 16.0
    pulmonary_venous_inertance: Value = 0.0005
    initial_left_atrium_volume: Value = 87.183
    initial_left_ventricle_volume: Value = 118.52
    initial_right_atrium_volume: Value = 86.833
    initial_right_ventricle_volume: Value = 166.177
    initial_systemic_arterial_pressure: Value = 87.675
    initial_systemic_venous_pressure: Value = 35.898
    initial_pulmonary_arterial_pressure: Value = 19.545
    initial_pulmonary_venous_pressure: Value = 15.004
    initial_systemic_arterial_flow: Value = 71.104
    initial_systemic_venous_flow: Value = 94.039
    initial_pulmonary_arterial_flow: Value = 94.084
    initial_pulmonary_venous_flow: Value = 473.279

    name: ClassVar[str] = "regazzoni_circulation"
    time_unit: ClassVar[str] = "s"
    max_step: ClassVar[float] = 1e-3
    parameters: ClassVar[Mapping[str, Parameter]] = PARAMETERS
    states: ClassVar[tuple[State, ...]] = (
        *(State(f"{chamber}_volume", "mL", (0.0, 1000.0)) for chamber in CHAMBERS),
        *(State(f"{vessel}_pressure", "mm[Hg]", (-50.0, 400.0)) for vessel in VESSELS),
        *(State(f"{vessel}_flow", "mL/s", (-5000.0, 5000.0)) for vessel in VESSELS),
        State("beat", "1"),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="heart_rate_change", unit="/min", kind="setting", plausible=(-12.0, 75.0)),
        Treatment(name="inotropy", unit="1", kind="setting", plausible=(-2.0, 1.0)),
        Treatment(name="vascular_tone", unit="1", kind="setting", plausible=(-2.0, 2.0)),
        Treatment(name="aortic_stenosis", unit="1", kind="setting", plausible=(-5.0, 5.0)),
        Treatment(name="aortic_regurgitation", unit="1", kind="setting", plausible=(-17.0, 17.0)),
        Treatment(name="bleeding", unit="mL/s", kind="infusion", plausible=(0.0, 150.0)),
        Treatment(name="fluid", unit="mL/s", kind="infusion", plausible=(0.0, 150.0)),
    )
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="systolic_pressure", unit="mm[Hg]", plausible=(0.0, 350.0), source=PAPER),
        Variable(name="diastolic_pressure", unit="mm[Hg]", plausible=(-20.0, 250.0), source=PAPER),
        Variable(name="heart_rate", unit="/min", plausible=(0.0, 300.0), source=PAPER),
        Variable(name="end_diastolic_volume", unit="mL", plausible=(0.0, 600.0), source=PAPER),
        Variable(name="end_systolic_volume", unit="mL", plausible=(0.0, 600.0), source=PAPER),
        Variable(name="ejection_fraction", unit="1", plausible=(0.0, 1.0), source=PAPER),
        Variable(name="cardiac_output", unit="L/min", plausible=(0.0, 30.0), source=PAPER),
    )
    window: ClassVar[Window | None] = Window(1.8, 301)

    def initial_state(self, n: int) -> Array:
        volumes = (getattr(self, f"initial_{chamber}_volume") for chamber in CHAMBERS)
        pressures = (getattr(self, f"initial_{vessel}_pressure") for vessel in VESSELS)
        flows = (getattr(self, f"initial_{vessel}_flow") for vessel in VESSELS)
        begins = self.ventricular_contraction_start * self._stretch(self.heart_rate)
        return stack_state(n, *volumes, *pressures, *flows, -begins * self.heart_rate / 60)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        heart = self._heart(state, control)
        p_ar, p_ven, p_arp, p_venp, q_ar, q_ven, q_arp, q_venp = (state[..., i] for i in range(4, 12))
        tone, bleeding, fluid = (control[..., i] for i in (2, 5, 6))
        resistance = self.systemic_arterial_resistance * xp.exp(DOUBLING * tone)
        return xp.stack(
            [
                q_venp - heart.mitral,
                heart.mitral - heart.aortic,
                q_ven - heart.tricuspid,
                heart.tricuspid - heart.pulmonary,
                (heart.aortic - q_ar) / self.systemic_arterial_compliance,
                (q_ar - q_ven + fluid - bleeding) / self.systemic_venous_compliance,
                (heart.pulmonary - q_arp) / self.pulmonary_arterial_compliance,
                (q_arp - q_venp) / self.pulmonary_venous_compliance,
                (p_ar - p_ven - resistance * q_ar) / self.systemic_arterial_inertance,
                (p_ven - heart.right_atrium - self.systemic_venous_resistance * q_ven) / self.systemic_venous_inertance,
                (p_arp - p_venp - self.pulmonary_arterial_resistance * q_arp) / self.pulmonary_arterial_inertance,
                (p_venp - heart.left_atrium - self.pulmonary_venous_resistance * q_venp)
                / self.pulmonary_venous_inertance,
                heart.rate,
            ],
            axis=-1,
        )

    def observe(self, state: Array) -> Array:
        """Of the last full beat, so from the window's length on; at time 0 there is none, and rate and output are 0."""
        xp = array_namespace(state)
        interval = self.window.length / (self.window.samples - 1) if self.window else 0.0
        systolic, diastolic, rate, largest, smallest = last_beat(state[..., 12], state[..., 4], state[..., 1], interval)
        stroke = largest - smallest
        output = stroke * rate * 60 / 1000
        return xp.stack([systolic, diastolic, 60 * rate, largest, smallest, stroke / largest, output], axis=-1)

    def waveforms(self, state: Array, control: Array) -> Array:
        """What a catheter sees at an instant: pressures of the chambers (mmHg), flows through the valves and the flow
        into the systemic veins from outside (mL/s), ``[batch, 9]``, named by ``regazzoni_parameters.WAVEFORMS``."""
        xp = array_namespace(state)
        return xp.stack([*self._heart(state, control)[:8], control[..., 6] - control[..., 5]], axis=-1)

    def blood_volume(self, state: Array) -> Array:
        """Blood in chambers and vessels beyond the vessels' unloaded volume, mL ``[batch]``; constant but for bleeding
        and fluid."""
        held = [getattr(self, f"{vessel}_compliance") * state[..., 4 + i] for i, vessel in enumerate(VESSELS)]
        return state[..., 0] + state[..., 1] + state[..., 2] + state[..., 3] + held[0] + held[1] + held[2] + held[3]

    def screen(self) -> Screening:
        """Lets each drawn subject settle for 20 beats and judges the last; the settled state is the initial state."""
        n = self.batch_size
        if n is None:  # the typical subject starts as its parameters say
            return super().screen()
        rate = np.broadcast_to(np.asarray(self.heart_rate, dtype=np.float64) / 60, (n,))
        none = np.zeros((n, len(self.treatments)))
        begin = np.asarray(self.initial_state(n))
        # Longer steps than elsewhere: what remains of the way to a beat that repeats itself is more than their error.
        end = settle(lambda t, x: self.vector_field(t, x, none), begin, rate, BEATS_TO_SETTLE, 2 * self.max_step)
        stroke, systolic = end.highest[:, 1] - end.lowest[:, 1], end.highest[:, 4]
        judged = ((systolic, SYSTOLIC), (stroke / end.highest[:, 1], EJECTION), (stroke * rate * 0.06, OUTPUT))
        accepted = np.all([(value >= low) & (value <= high) for value, (low, high) in judged], axis=0)
        return Screening(accepted, {f"initial_{item.name}": end.state[:, i] for i, item in enumerate(self.states[:12])})

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Independent log-normal variability around the model's own values; `screen` then leaves out who could not
        live."""
        least = ndtr(-CUT)
        normal = ndtri(least + rng.random((n, len(BETWEEN_SUBJECTS))) * (1 - 2 * least))
        factor = np.exp(np.sqrt(np.log1p(np.square(list(BETWEEN_SUBJECTS.values())))) * normal)
        drawn = {name: getattr(self, name) * factor[:, i] for i, name in enumerate(BETWEEN_SUBJECTS)}
        return PopulationDraw(drawn, np.zeros((n, 0)))

    def _stretch(self, heart_rate: Value) -> Value:
        """Factor of all times of the heart cycle."""
        return (heart_rate / PUBLISHED_RATE) ** (-1.0 * self.duration_scaling)

    def _heart(self, state: Array, control: Array) -> Waveforms:
        xp = array_namespace(state)
        v_la, v_lv, v_ra, v_rv, p_ar, p_arp, beat = (state[..., i] for i in (0, 1, 2, 3, 4, 6, 12))
        faster, inotropy, stenosis, regurgitation = (control[..., i] for i in (0, 1, 3, 4))
        per_minute = self.heart_rate + faster
        rate, stretch = per_minute / 60, self._stretch(per_minute)
        later = (self.atrial_contraction_start - self.ventricular_contraction_start) * stretch * rate
        atria = activation(
            xp, beat - later, rate, self.atrial_contraction_time * stretch, self.atrial_relaxation_time * stretch
        )
        ventricles = activation(
            xp, beat, rate, self.ventricular_contraction_time * stretch, self.ventricular_relaxation_time * stretch
        )
        strength = self.left_ventricle_active_elastance * xp.exp(DOUBLING * inotropy)
        p_la = (self.left_atrium_active_elastance * atria + self.left_atrium_passive_elastance) * (
            v_la - self.left_atrium_unloaded_volume
        )
        p_lv = (strength * ventricles + self.left_ventricle_passive_elastance) * (
            v_lv - self.left_ventricle_unloaded_volume
        )
        p_ra = (self.right_atrium_active_elastance * atria + self.right_atrium_passive_elastance) * (
            v_ra - self.right_atrium_unloaded_volume
        )
        p_rv = (self.right_ventricle_active_elastance * ventricles + self.right_ventricle_passive_elastance) * (
            v_rv - self.right_ventricle_unloaded_volume
        )
        return Waveforms(
            p_la,
            p_lv,
            p_ra,
            p_rv,
            valve_flow(xp, p_la - p_lv, *self._valve("mitral")),
            valve_flow(xp, p_lv - p_ar, *self._valve("aortic", DOUBLING * stenosis, DOUBLING * regurgitation)),
            valve_flow(xp, p_ra - p_rv, *self._valve("tricuspid")),
            valve_flow(xp, p_rv - p_arp, *self._valve("pulmonary")),
            rate,
        )

    def _valve(self, name: str, narrower: Value = 0.0, leakier: Value = 0.0) -> tuple[Value, Value]:
        """Logs of the open and the closed resistance."""
        opened, closed = (getattr(self, f"{name}_valve_{kind}_resistance") for kind in ("open", "closed"))
        return log_of(opened) + narrower, log_of(closed) - leakier
