"""The demonstration: the whole road, on real and on simulated patients, in one go."""

from neurotwin.demo.run import run_demo

__all__ = ["run_demo"]
