"""FHIR R4: bundles, single resources and bulk exports."""

from neurotwin.ingest.fhir.reader import FhirReader, ingest_fhir

__all__ = ["FhirReader", "ingest_fhir"]
