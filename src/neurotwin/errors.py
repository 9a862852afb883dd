"""The exceptions of neurotwin.

Every error says what was got, where, what was expected and what to do about it, in one line. The exit code of the
command line is the error's own. Messages carry names, units and counts, never a patient's values.

    NeurotwinError
    +-- InputError (exit 2)
    |   +-- ConfigError        a configuration key, value or group
    |   +-- ExtraMissingError  an optional dependency that a verb needs
    |   +-- SchemaError        a variable, treatment or static covariate
    |   +-- UnitError          a unit that is missing, unknown or of another dimension
    |   +-- CohortError        a cohort folder or its tables
    |   +-- TimelineError      times and events
    |   +-- SimulationError    a simulator's parameter, state or protocol
    |   +-- SolverError        a solver asked for something that it cannot do
    |   +-- DocumentError      a patient or plan document
    |   +-- IngestError        a source file or its mapping
    |   +-- OutputInUseError   an output folder that another run holds
    |   +-- StoreError         the twin store: its address, its schema, its file
    |       +-- UnknownPatientError   a patient or request that the store does not hold
    |       +-- StoreConflictError    a request that contradicts what is stored
    |       +-- StoreBusyError        a store that is held by others; ask again
    +-- ArtefactError (exit 3)
    |   +-- BundleError        a bundle's content
    |   +-- IntegrityError     a file that does not match its recorded hash
    |   +-- ParityError        an exported graph that does not reproduce its model
    +-- ResourceError (exit 4)
    |   +-- DeadlineError      an answer that takes longer than it may
    +-- PreemptedError (exit 75)   a signal ended the work, which can be gone on with
"""

from typing import ClassVar


class NeurotwinError(Exception):
    """Base of all errors. ``what`` was got, ``where``, what was ``expected``, and the ``remedy``."""

    code: ClassVar[str] = "NT-1000"
    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, where: str = "", expected: str = "", remedy: str = "") -> None:
        self.what, self.where, self.expected, self.remedy = what, where, expected, remedy
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"at {self.where}")
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.remedy:
            parts.append(self.remedy)
        return f"{self.code} " + "; ".join(" ".join(part.split()) for part in parts)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only fields are lost by the default pickling, which multiprocessing relies on.
        return _rebuild, (type(self), self.what, self.where, self.expected, self.remedy)


def _rebuild(kind: type[NeurotwinError], what: str, where: str, expected: str, remedy: str) -> NeurotwinError:
    return kind(what, where=where, expected=expected, remedy=remedy)


class InputError(NeurotwinError):
    """Something the caller gave is not usable."""

    code = "NT-2000"


class ConfigError(InputError):
    """A configuration key, value or group is wrong."""

    code = "NT-2100"


class ExtraMissingError(InputError):
    """A verb needs an optional dependency that is not installed."""

    code = "NT-2150"


class SchemaError(InputError):
    """A schema is contradictory or does not know a name."""

    code = "NT-2200"


class UnitError(InputError):
    """A unit is missing, unknown, or measures something else."""

    code = "NT-2300"


class CohortError(InputError):
    """A cohort folder, table or subject set is not usable."""

    code = "NT-2400"


class TimelineError(InputError):
    """Times or events cannot be placed on a timeline."""

    code = "NT-2500"


class SimulationError(InputError):
    """A simulator was given a parameter, state or protocol outside its range, or too many subjects were rejected."""

    code = "NT-2600"


class SolverError(InputError):
    """A solver was asked for something that it cannot do."""

    code = "NT-2650"


class DocumentError(InputError):
    """A patient or plan document is not usable."""

    code = "NT-2700"


class IngestError(InputError):
    """A source file or its mapping is not usable."""

    code = "NT-2800"


class OutputInUseError(InputError):
    """Another run holds the output folder."""

    code = "NT-2900"


class StoreError(InputError):
    """The twin store cannot be reached, read or written."""

    code = "NT-2950"


class UnknownPatientError(StoreError):
    """The store does not hold this patient, or this request of theirs."""

    code = "NT-2960"


class StoreConflictError(StoreError):
    """A request contradicts what the store holds."""

    code = "NT-2970"


class StoreBusyError(StoreError):
    """Others hold the store for longer than was waited; the same request may be sent again."""

    code = "NT-2980"


class ArtefactError(NeurotwinError):
    """A released file is not what it should be."""

    code = "NT-3000"
    exit_code = 3


class BundleError(ArtefactError):
    """A bundle lacks something or contradicts itself."""

    code = "NT-3100"


class IntegrityError(ArtefactError):
    """A file does not match its recorded hash or size."""

    code = "NT-3200"


class ParityError(ArtefactError):
    """An exported graph does not reproduce the model that it was made from."""

    code = "NT-3300"


class ResourceError(NeurotwinError):
    """Memory, disk or a device is not there in the amount needed."""

    code = "NT-4000"
    exit_code = 4


class DeadlineError(ResourceError):
    """An answer takes longer than it may."""

    code = "NT-4100"


class PreemptedError(NeurotwinError):
    """A signal asked the process to end; what it had done is kept, and the same command goes on with it."""

    code = "NT-1310"
    exit_code = 75
