"""What a mapping says about a NONMEM table besides its columns."""

from typing import Annotated

from pydantic import Field

from neurotwin.ingest.mapping_columns import Column, Part


class NonmemOptions(Part):
    """The part ``nonmem`` of a table.

    ``steady_state`` is how many previous doses are laid out before a dose with SS = 1; without it such a dose is
    rejected. ``observed`` is the column that tells what a row observed (by default DVID, else CMT). ``below`` is a
    column whose 1 marks a value below, and whose -1 one above the limit, which is DV or the column ``limit``.
    """

    steady_state: Annotated[int, Field(ge=1, le=1000)] | None = None
    observed: Column | None = None
    below: Column | None = None
    limit: Column | None = None
