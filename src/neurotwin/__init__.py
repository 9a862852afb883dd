"""neurotwin: neural-ODE surrogates of patients' dynamics, trained from simulated and clinical trajectories.

The package itself imports nothing heavy; take what you need from its modules:

- ``neurotwin.runtime``: ``Predictor`` and ``Twin``, for applications (numpy and onnxruntime, no torch);
- ``neurotwin.simulators``: mechanistic models, virtual populations and protocols;
- ``neurotwin.ingest``: readers of health records;
- ``neurotwin.solvers``, ``neurotwin.models``, ``neurotwin.training``, ``neurotwin.export``: the training side (torch).
"""

import os

# ONNX Runtime >= 1.29 on Linux writes a device id and may report usage at its first session. The switch is read
# when onnxruntime is first imported, so it has to be set before any of our modules imports it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
