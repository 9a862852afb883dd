"""Reading a mapping: from plain data, from a YAML file, or by its name among those that come with neurotwin."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from neurotwin.errors import IngestError
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.mapping_checks import check_names, check_units
from neurotwin.ingest.mapping_columns import nearest
from neurotwin.ingest.yaml_file import read_yaml
from neurotwin.paths import conf_dir


def load_mapping(mapping: SourceMapping | Mapping[str, Any] | Path | str) -> SourceMapping:
    """A mapping from plain data, from a YAML file, or from its bare name among those that come with neurotwin.

    Raises:
        IngestError: no such mapping, or its content is wrong; the message names the place and the nearest name.
        UnitError: a declared unit is unknown or of another dimension.
    """
    if isinstance(mapping, SourceMapping):
        return mapping
    if isinstance(mapping, Mapping):
        return parse_mapping(mapping)
    path = Path(mapping)
    if not path.suffix and path.name == str(mapping) and not path.is_file():
        path = _packaged(str(mapping))
    return parse_mapping(read_yaml(path), where=str(path))


def parse_mapping(content: Any, where: str = "mapping") -> SourceMapping:
    """A mapping from plain data; see `load_mapping`."""
    try:
        # By way of JSON: the strict mode takes lists for tuples there, and nothing but plain data gets through.
        parsed = SourceMapping.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise _first_fault(error, where) from None
    except (TypeError, ValueError, RecursionError):
        raise IngestError("a mapping of other than plain data", where=where, expected="text and numbers") from None
    try:
        check_names(parsed)
    except ValidationError as error:
        raise _first_fault(error, where) from None
    except ValueError as error:
        raise IngestError(str(error), where=where, remedy="see docs/ingest.md") from None
    check_units(parsed, where)
    return parsed


def _packaged(name: str) -> Path:
    folder = conf_dir() / "source"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        names = sorted(one.stem for one in folder.glob("*.yaml"))
        raise IngestError(
            f"no mapping {name!r}{nearest(name, names)}",
            where=str(folder),
            expected=f"a YAML file, or one of: {', '.join(names)}",
        )
    return path


def _first_fault(error: ValidationError, where: str) -> IngestError:
    faults = error.errors(include_url=False, include_input=False)
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    place, message = first["loc"], first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"unknown key {place[-1]!r}{nearest(str(place[-1]), _keys_at(place))}"
    shown = ".".join(str(part) for part in place)
    return IngestError(message, where=f"{where}: {shown}" if place else where, remedy="see docs/ingest.md")


def _keys_at(place: tuple[int | str, ...]) -> set[str]:
    """Keys that the mapping knows where a fault was found."""
    models: list[type[BaseModel]] = [SourceMapping]
    for part in place[:-1]:
        fields = [model.model_fields[part] for model in models if isinstance(part, str) and part in model.model_fields]
        models = [inner for field in fields for inner in _models_in(field.annotation)] or models
    return {field.alias or key for model in models for key, field in model.model_fields.items()}


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
