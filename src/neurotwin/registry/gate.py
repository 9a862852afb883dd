"""The gate: acceptance rules of a YAML file, each with its limit. What is not understood is refused, never skipped."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from neurotwin.errors import ConfigError, IngestError
from neurotwin.ingest.yaml_file import MAX_BYTES, parse_yaml

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda items: tuple(items) if isinstance(items, list) else items)]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Accuracy(_Rule):
    """The error of one variable, or of all (``*``), each patient weighing the same.

    ``at_most``: the upper end of its 95 % interval, in the unit of the scale. ``worse_than_champion_at_most``: the
    upper end of the 95 % interval of the paired difference from the champion, as a share of the champion's error
    (non-inferiority; 0 asks for better). ``better_than_locf``: the upper end of the paired difference from last value
    carried forward is 0 at most. ``scale``: ``modelled`` is the logarithm where the variable is modelled as one.
    """

    variable: str = "*"
    scale: Literal["modelled", "natural"] = "modelled"
    metric: Literal["mae", "rmse", "crps"] = "mae"
    at_most: Positive | None = None
    worse_than_champion_at_most: Annotated[float, Field(ge=0)] | None = None
    better_than_locf: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.at_most is None and self.worse_than_champion_at_most is None and not self.better_than_locf:
            raise ValueError("asks nothing: give at_most, worse_than_champion_at_most or better_than_locf")
        return self


class Coverage(_Rule):
    """Share of truths inside the calibrated interval, of every variable and horizon bin, between ``at_least`` and
    ``at_most``, widened by what chance makes of it with so many patients (binomial, 99 %)."""

    at_least: Share
    at_most: Share = 1.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.at_least >= self.at_most:
            raise ValueError("at_least must be below at_most")
        return self


class Parity(_Rule):
    """Largest difference between the exported graphs and the trained model, of a channel's scale, as the exporter
    proved it; the golden cases must be answered on this machine too."""

    at_most: Positive


class Abstention(_Rule):
    """Share of patients about whom the runtime keeps silent."""

    at_most: Share


class Subgroups(_Rule):
    """Every part that a covariate makes of the patients, of ``minimum_patients`` or more: its error over that of all
    patients, and its share inside the interval less that of all."""

    by: Annotated[Names, Field(min_length=1)]
    error_ratio_at_most: Annotated[float, Field(ge=1)]
    coverage_gap_at_most: Share
    minimum_patients: Annotated[int, Field(ge=20)] = 50


class Latency(_Rule):
    """Milliseconds within which 95 of 100 single forecasts were answered on this machine."""

    p95_ms_at_most: Positive


class Drift(_Rule):
    """The worst verdict of `neurotwin monitor` on the inputs and calibration of the same patients."""

    verdict_at_most: Literal["ok", "watch"]


class Rules(_Rule):
    """What a candidate must hold; all of it."""

    schema_version: Literal[1]
    minimum_patients: Annotated[int, Field(ge=20)]
    accuracy: Annotated[
        tuple[Accuracy, ...], BeforeValidator(lambda items: tuple(items) if isinstance(items, list) else items),
        Field(min_length=1),
    ]  # fmt: skip
    coverage: Coverage
    parity: Parity
    abstention: Abstention
    subgroups: Subgroups | None = None
    latency: Latency | None = None
    drift: Drift | None = None


@dataclass(frozen=True)
class Gate:
    """Rules, and the file that they are from."""

    rules: Rules
    name: str
    sha256: str

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """From the bytes of a gate file.

        Raises:
            ConfigError: not such a file; the line says where and what.
        """
        try:
            rules = Rules.model_validate(parse_yaml(content.decode("utf-8-sig"), where=where))
        except UnicodeDecodeError:
            raise ConfigError("not UTF-8 text", where=where, expected="a gate file") from None
        except IngestError as error:
            raise ConfigError(error.what, where=error.where, expected=error.expected) from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            what = "an unknown rule" if first["type"] == "extra_forbidden" else str(first["msg"])
            raise ConfigError(what, where=f"{where}: {place}" if place else where, expected="a gate file") from None
        return cls(rules, Path(where).name, hashlib.sha256(content).hexdigest())


def read_gate(path: Path) -> Gate:
    """Read a gate file; raises ConfigError when it is missing, too large or not one."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise ConfigError(
                "no gate file here", where=str(path), expected="a YAML file such as conf/gate/default.yaml"
            )
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read ({type(error).__name__})", where=str(path), expected="a gate file") from None
    return Gate.parse(content, str(path))
