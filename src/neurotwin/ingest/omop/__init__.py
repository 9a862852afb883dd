"""OMOP CDM 5.4: delimited text, archives, parquet, DuckDB and databases."""

from neurotwin.ingest.omop.reader import OmopReader, ingest_omop

__all__ = ["OmopReader", "ingest_omop"]
