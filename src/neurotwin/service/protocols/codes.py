"""Which codes of FHIR stand for which channel: those that a bundle's signature declares, and those of a file.

The operator's file is JSON, by the name of the model:

    {"models": {"lung_tumour": {
        "observations": {"tumour_volume": ["http://loinc.org|CODE"]},
        "treatments": {"chemotherapy": ["http://www.nlm.nih.gov/research/umls/rxnorm|CODE"]},
        "statics": {"stage": {"codes": ["http://loinc.org|CODE"], "levels": {"http://snomed.info/sct|CODE": "II"}},
                    "sex": {"element": "gender", "levels": {"female": "f", "male": "m"}},
                    "age": {"element": "birthDate"}},
        "watch": [{"event": {"channel": "tumour_volume", "above": 50, "unit": "cm3", "alarm": 0.5},
                   "indicator": "warning"}]}}}

A code is ``system|code``. Whatever has no code here is not used: names and magnitudes tell nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurotwin.errors import ConfigError, DocumentError
from neurotwin.runtime import EventDocument, Predictor, read_document
from neurotwin.runtime.channels import Channel
from neurotwin.runtime.kinds import Fault, ListOf, MapOf, Record, Text, has

SYSTEMS = {
    "ATC": "http://www.whocc.no/atc",
    "LOINC": "http://loinc.org",
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "SNOMED": "http://snomed.info/sct",
}
"""Vocabularies that a signature names (``LOINC:718-7``), as FHIR calls them."""
MOST = 1000
CODES = ListOf(Text(), MOST)


@dataclass(frozen=True)
class StaticCoding:
    """Where a covariate stands: in Observations of ``codes``, or in an ``element`` of the Patient.

    ``levels``: for a covariate that has levels, the level of each code (``system|code``) or word.
    """

    codes: tuple[str, ...] = has(CODES, default=())
    element: str | None = has(Text(("gender", "birthDate")), default=None)
    levels: Mapping[str, str] = has(MapOf(Text(), MOST), factory=dict)

    def __post_init__(self) -> None:
        if bool(self.codes) == (self.element is not None):
            raise Fault("not one source of a covariate", "codes, or element")


@dataclass(frozen=True)
class Watch:
    """A risk that a card of CDS Hooks tells of, and how urgently once it reaches the event's ``alarm``."""

    event: EventDocument = has(Record(EventDocument))
    indicator: str = has(Text(("warning", "critical")))

    def __post_init__(self) -> None:
        if self.event.alarm is None:
            raise Fault("an event without alarm", "alarm, the risk from which it is urgent")


@dataclass(frozen=True)
class ModelCoding:
    """Codes of one model's channels, by the channel's name, and the risks that are watched."""

    observations: Mapping[str, tuple[str, ...]] = has(MapOf(CODES, MOST), factory=dict)
    treatments: Mapping[str, tuple[str, ...]] = has(MapOf(CODES, MOST), factory=dict)
    statics: Mapping[str, StaticCoding] = has(MapOf(Record(StaticCoding), MOST), factory=dict)
    watch: tuple[Watch, ...] = has(ListOf(Record(Watch), 20), default=())


@dataclass(frozen=True)
class CodingFile:
    """All models' codes."""

    models: Mapping[str, ModelCoding] = has(MapOf(Record(ModelCoding), MOST))


@dataclass(frozen=True)
class Codes:
    """Code -> channel, for one model.

    Attributes:
        elements: covariate -> element of the Patient.
        levels: covariate -> code or word -> level.
    """

    observations: dict[str, str] = field(default_factory=dict)
    treatments: dict[str, str] = field(default_factory=dict)
    statics: dict[str, str] = field(default_factory=dict)
    elements: dict[str, str] = field(default_factory=dict)
    levels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    watch: tuple[Watch, ...] = ()

    def of_channel(self, name: str) -> list[str]:
        """The codes of a variable."""
        return [code for code, channel in self.observations.items() if channel == name]


def read_codes(file: str, models: Mapping[str, Predictor]) -> dict[str, Codes]:
    """The codes of each model that is served.

    Raises:
        ConfigError: the file cannot be read, names what is not served, or gives one code to two channels.
    """
    told: Mapping[str, ModelCoding] = {}
    if file:
        try:
            told = read_document(CodingFile, Path(file)).models
        except DocumentError as error:
            raise ConfigError(error.what, where=error.where, expected=error.expected) from None
    if unknown := sorted(set(told) - set(models)):
        raise ConfigError(f"no model {unknown[0]}", where=file, expected=", ".join(models))
    return {name: _codes(models[name], told.get(name, ModelCoding()), file) for name in models}


def _codes(predictor: Predictor, told: ModelCoding, file: str) -> Codes:
    name, signature = predictor.bundle.name, predictor.signature
    entries = predictor.bundle.signature["channels"]
    codes = Codes(watch=told.watch)
    for group, mapping, found in (
        ("observations", told.observations, codes.observations),
        ("treatments", told.treatments, codes.treatments),
    ):
        where = f"{file}: {name}.{group}"
        _check_names(mapping, [str(entry["name"]) for entry in entries[group]], where)
        for entry in entries[group]:
            _put(found, entry, mapping.get(entry["name"], ()), where)
    where = f"{file}: {name}.statics"
    _check_names(told.statics, [channel.name for channel in signature.statics], where)
    for channel, entry in zip(signature.statics, entries["statics"], strict=True):
        _add_static(codes, channel, entry, told.statics.get(channel.name), where)
    if both := sorted(set(codes.observations) & set(codes.statics)):
        raise ConfigError(f"the code {both[0]} stands for two channels", where=f"{file}: {name}")
    for number, watch in enumerate(told.watch):
        known = [channel.name for channel in signature.variables]
        _check_names([watch.event.channel], known, f"{file}: {name}.watch.{number}")
    return codes


def _add_static(
    codes: Codes, channel: Channel, entry: Mapping[str, Any], told: StaticCoding | None, where: str
) -> None:
    place = f"{where}.{channel.name}"
    codes.levels[channel.name] = {} if told is None else told.levels
    if not set(codes.levels[channel.name].values()) <= set(channel.levels):
        raise ConfigError("an unknown level", where=place, expected=", ".join(channel.levels) or "no levels")
    if told is None or told.element is None:
        _put(codes.statics, entry, () if told is None else told.codes, where)
    elif (told.element == "gender") != bool(channel.levels):
        raise ConfigError("not an element for it", where=place, expected="birthDate for a number, gender for levels")
    else:
        codes.elements[channel.name] = told.element


def _put(found: dict[str, str], entry: Mapping[str, Any], told: Iterable[str], where: str) -> None:
    """Add a channel's codes: its own in the signature, where FHIR has a name for the vocabulary, and those told."""
    vocabulary, _, code = str(entry.get("code", "")).partition(":")
    system = SYSTEMS.get(vocabulary.upper())
    for one in [*([f"{system}|{code}"] if system and code else []), *told]:
        if found.setdefault(one, str(entry["name"])) != entry["name"]:
            raise ConfigError(f"the code {one} stands for two channels", where=where)


def _check_names(told: Iterable[str], known: list[str], where: str) -> None:
    if unknown := sorted(set(told) - set(known)):
        raise ConfigError(f"no channel {unknown[0]}", where=where, expected=", ".join(known))
