"""Units, ranges and sources of the parameters of `neurotwin.simulators.t1d_uvapadova`."""

from collections.abc import Mapping

from neurotwin.simulators.simulator import Parameter

TABLE = "adult#001 of the patient table of simglucose 0.2.11"

PARAMETERS: Mapping[str, Parameter] = {
    "body_weight": Parameter("kg", (5.0, 300.0), TABLE),
    "fasting_glucose": Parameter("mg/dL", (40.0, 400.0), TABLE),
    "fasting_insulin": Parameter("pmol/L", (1.0, 2000.0), TABLE),
    "fasting_production": Parameter("mg/kg/min", (1.01, 20.0), TABLE),
    "gut_absorption_rate": Parameter("/min", (1e-3, 10.0), TABLE),
    "fastest_emptying": Parameter("/min", (1e-3, 1.0), TABLE),
    "slowest_emptying": Parameter("/min", (1e-5, 1.0), TABLE),
    "slowing_share": Parameter("1", (0.01, 0.9999), TABLE),
    "recovery_share": Parameter("1", (0.001, 0.99), TABLE),
    "absorbed_fraction": Parameter("1", (0.01, 1.0), TABLE),
    "glucose_volume": Parameter("dL/kg", (0.5, 10.0), TABLE),
    "insulin_volume": Parameter("L/kg", (0.005, 1.0), TABLE),
    "glucose_to_tissue": Parameter("/min", (1e-3, 1.0), TABLE),
    "glucose_from_tissue": Parameter("/min", (1e-3, 2.0), TABLE),
    "independent_uptake": Parameter("mg/kg/min", (0.0, 5.0), TABLE),
    "uptake_sensitivity": Parameter("mg/kg/min/(pmol/L)", (0.0, 2.0), TABLE),
    "half_uptake": Parameter("mg/kg", (10.0, 2000.0), TABLE),
    "action_rate": Parameter("/min", (1e-3, 1.0), TABLE),
    "production_glucose_effect": Parameter("/min", (0.0, 0.2), TABLE),
    "production_insulin_effect": Parameter("mg/kg/min/(pmol/L)", (0.0, 0.5), TABLE),
    "production_delay_rate": Parameter("/min", (1e-4, 0.5), TABLE),
    "renal_rate": Parameter("/min", (0.0, 0.1), TABLE),
    "renal_threshold": Parameter("mg/kg", (100.0, 2000.0), TABLE),
    "insulin_from_liver": Parameter("/min", (0.01, 2.0), TABLE),
    "insulin_to_liver": Parameter("/min", (0.01, 2.0), TABLE),
    "hepatic_extraction": Parameter("1", (0.01, 0.95), TABLE),
    "dissociation_rate": Parameter("/min", (1e-3, 0.2), TABLE),
    "slow_insulin_absorption": Parameter("/min", (1e-5, 0.2), TABLE),
    "fast_insulin_absorption": Parameter("/min", (1e-3, 0.2), TABLE),
    "sensor_rate": Parameter("/min", (0.01, 1.0), TABLE),
}

SYMBOLS: Mapping[str, str] = {
    "body_weight": "BW",
    "fasting_glucose": "Gb",
    "fasting_insulin": "Ib",
    "fasting_production": "EGPb",
    "gut_absorption_rate": "kabs",
    "fastest_emptying": "kmax",
    "slowest_emptying": "kmin",
    "slowing_share": "b",
    "recovery_share": "d",
    "absorbed_fraction": "f",
    "glucose_volume": "Vg",
    "insulin_volume": "Vi",
    "glucose_to_tissue": "k1",
    "glucose_from_tissue": "k2",
    "independent_uptake": "Fsnc",
    "uptake_sensitivity": "Vmx",
    "half_uptake": "Km0",
    "action_rate": "p2u",
    "production_glucose_effect": "kp2",
    "production_insulin_effect": "kp3",
    "production_delay_rate": "ki",
    "renal_rate": "ke1",
    "renal_threshold": "ke2",
    "insulin_from_liver": "m1",
    "insulin_to_liver": "m2",
    "hepatic_extraction": "HEb",
    "dissociation_rate": "kd",
    "slow_insulin_absorption": "ka1",
    "fast_insulin_absorption": "ka2",
    "sensor_rate": "ksc",
}
"""Their columns in that table."""
