"""Personal forecasts from a patient's history: by an exported twin, by fits of the mechanism, by sampling it."""
