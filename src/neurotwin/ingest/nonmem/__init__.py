"""NONMEM-style tables of doses and observations."""

from neurotwin.ingest.nonmem.reader import NonmemReader, ingest_nonmem

__all__ = ["NonmemReader", "ingest_nonmem"]
