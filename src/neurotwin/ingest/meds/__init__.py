"""MEDS 0.4 data sets."""

from neurotwin.ingest.meds.reader import MedsReader, ingest_meds

__all__ = ["MedsReader", "ingest_meds"]
