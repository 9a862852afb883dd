"""Checks of a mapping as a whole: names agree, times agree, units convert."""

from collections.abc import Iterable

from neurotwin.errors import UnitError
from neurotwin.ingest.mapping import LongTable, SourceMapping, VisitsTable
from neurotwin.ingest.mapping_columns import TreatmentColumn, nearest
from neurotwin.ingest.unit_book import declared, known


def check_names(mapping: SourceMapping) -> None:
    """Check that tables, schema and times of a mapping fit each other. Raises ValueError."""
    _ = mapping.cohort_schema  # names differ
    tables = mapping.tables
    _check_bound(
        "variable", (one.name for one in mapping.variables), (one.variable for t in tables for one in t.variables)
    )
    _check_bound(
        "treatment", (one.name for one in mapping.treatments), (one.treatment for t in tables for one in t.treatments)
    )
    given = [one.static for table in tables for one in table.statics]
    _check_bound("static", (one.name for one in mapping.statics), [*given, *_check_ages(mapping, given)])
    _check_outcomes(mapping)
    _known("replicates", mapping.replicates, {one.name for one in mapping.variables})
    if len(tables) > 1 and any(table.file is None and table.table is None for table in tables):
        raise ValueError("with several tables, each needs its file or table")
    if len({(table.file, table.table) for table in tables}) < len(tables):
        raise ValueError("two tables name the same file" + (" and table" if tables[0].table else ""))
    _check_times(mapping)
    for table in tables:
        _check_table(table)
        for item in table.treatments:
            _check_period(item, next(one.kind for one in mapping.treatments if one.name == item.treatment))
        _check_levels(mapping, table)


def _check_ages(mapping: SourceMapping, given: list[str]) -> set[str]:
    """The static covariate that is the age at the index event, if there is one."""
    ages = {table.birth.age for table in mapping.tables if table.birth is not None and table.birth.age is not None}
    if len(ages) > 1:
        raise ValueError(f"two ages of one birth: {' and '.join(sorted(ages))}")
    for name in ages:
        if name in given:
            raise ValueError(f"{name} is the age that a birth tells, so no column gives it")
        if any(one.name == name and one.levels for one in mapping.statics):
            raise ValueError(f"{name} has levels, so it is no age")
    return ages


def _check_outcomes(mapping: SourceMapping) -> None:
    ends = [table.follow_up for table in mapping.tables if table.follow_up is not None]
    if len(ends) > 1:
        raise ValueError("two tables tell the end of follow-up")
    told = (name for end in ends for name in end.outcomes.values())
    _check_bound("outcome", (one.name for one in mapping.outcomes), told)


def _check_bound(kind: str, names: Iterable[str], used: Iterable[str]) -> None:
    names, used = list(names), set(used)
    _known(f"tables: {kind}", used, set(names))
    if missing := [name for name in names if name not in used]:
        raise ValueError(f"{kind} {missing[0]} comes from no table")


def _known(place: str, used: Iterable[str], names: set[str]) -> None:
    for name in sorted(used):
        if name not in names:
            raise ValueError(f"{place} {name!r} is not in the schema{nearest(name, names)}")


def _check_times(mapping: SourceMapping) -> None:
    columns = [column for table in mapping.tables for column in table.time_columns]
    if len({column.format is None for column in columns}) > 1:
        raise ValueError("times must be all numbers or all dates")
    mixed = any(column.zones is None and len({"%z" in one for one in column.formats}) > 1 for column in columns)
    if mixed or len({column.zoned for column in columns}) > 1:
        raise ValueError("dates must be all with a time zone (%z) or all without, or say zones: utc or wall")
    indexed = any(table.index for table in mapping.tables)
    if (mapping.index.at == "column") != indexed:
        raise ValueError("index.at is column exactly when a table names its index column")
    if mapping.index.at == "zero" and mapping.dated:
        raise ValueError("dates need an index event: set index.at to first or column")


def _check_table(table: VisitsTable | LongTable) -> None:
    timed = table.variables or any(item.start == "row" for item in table.treatments)
    if timed and table.time is None:
        raise ValueError("a table with measurements needs its time column")
    if not (
        table.variables
        or table.treatments
        or table.statics
        or table.index
        or table.birth
        or table.death
        or table.fold
        or table.follow_up
    ):
        raise ValueError("a table that gives nothing")
    codes = [code for item in table.variables if hasattr(item, "codes") for code in item.codes]
    if repeated := sorted({code for code in codes if codes.count(code) > 1}):
        raise ValueError(f"the code {repeated[0]!r} stands for two variables")
    for item in table.variables:
        unit_column = item.unit_column or (table.unit if isinstance(table, LongTable) else None)
        if item.unit is None and unit_column is None:
            raise ValueError(f"{item.variable} needs a unit or a column with its unit")


def _check_period(item: TreatmentColumn, kind: str) -> None:
    if (kind == "bolus") != (item.stop is None and item.duration is None):
        wanted = "left out" if kind == "bolus" else "a column, never or next (or give a duration)"
        raise ValueError(f"{item.treatment} has the kind {kind}, so stop must be {wanted}")
    if item.given != "rate" and kind != "infusion":
        raise ValueError(f"{item.treatment} has the kind {kind}, but only an infusion is an amount over a period")


def _check_levels(mapping: SourceMapping, table: VisitsTable | LongTable) -> None:
    statics = {static.name: static for static in mapping.statics}
    for item in table.statics:
        static = statics[item.static]
        if static.levels:
            _known(f"level of {item.static}", item.levels.values(), set(static.levels))
            if item.unit or item.unit_column or item.values:
                raise ValueError(f"{item.static} has levels, so it takes neither unit nor values")
        elif item.levels:
            raise ValueError(f"{item.static} is a number, so it takes no levels")
        elif item.unit is None and item.unit_column is None:
            raise ValueError(f"{item.static} needs a unit or a column with its unit")


def amount_unit(mapping: SourceMapping, item: TreatmentColumn) -> str:
    """The unit in which a treatment's number is read: that of the schema, or that times the time unit."""
    unit = next(one.unit for one in mapping.treatments if one.name == item.treatment)
    return unit if item.given == "rate" else f"({unit}).({mapping.time_unit})"


def check_units(mapping: SourceMapping, where: str) -> None:
    """Check that all units are known and convert to the schema's. Raises UnitError."""
    targets = {
        one.name: one.unit for group in (mapping.variables, mapping.treatments, mapping.statics) for one in group
    }
    for name, unit in [*targets.items(), ("time_unit", mapping.time_unit)]:
        if not known(unit):
            raise UnitError(
                f"unknown unit {unit!r}", where=f"{where}: {name}", expected="a UCUM code such as mg/dL, d, cm3, 1"
            )
    for table in mapping.tables:
        for name, target, item in [
            *((one.variable, targets[one.variable], one) for one in table.variables),
            *((one.treatment, amount_unit(mapping, one), one) for one in table.treatments),
            *((one.static, targets[one.static], one) for one in table.statics),
            *((f"duration of {o.treatment}", mapping.time_unit, o.duration) for o in table.treatments if o.duration),
        ]:
            if item.unit is not None:
                unit = table.units.get(item.unit, item.unit)
                declared(unit, target, item.molar_mass, f"{where}: {name}")
        for column in table.time_columns:
            if column.unit is not None:
                declared(column.unit, mapping.time_unit, None, f"{where}: column {column.column}")
        if table.birth is not None and table.birth.age is not None:
            declared(mapping.time_unit, targets[table.birth.age], None, f"{where}: {table.birth.age}")
        for spelling, unit in table.units.items():
            if not known(unit):
                raise UnitError(f"unknown unit {unit!r}", where=f"{where}: units {spelling}", expected="a UCUM code")
    if mapping.dated:
        declared("us", mapping.time_unit, None, f"{where}: time_unit")
