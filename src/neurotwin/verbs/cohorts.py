"""neurotwin cohort. Each verb imports what it needs when it runs, so that ``--help`` stays fast."""

from pathlib import Path
from typing import Annotated

import typer

from neurotwin.verbs.next_step import tell_next

cohort = typer.Typer(no_args_is_help=True, help="Look at a cohort, check it, hand it on.")

CohortFolder = Annotated[Path, typer.Argument(help="Cohort folder.", show_default=False)]


@cohort.command("describe")
def describe_cohort(
    folder: CohortFolder, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Subjects, variables, treatments and covariates in numbers, none of which belongs to one subject."""
    from neurotwin.verbs.cohort import print_description

    print_description(folder, as_json)


@cohort.command("validate")
def validate_cohort(
    folder: CohortFolder, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Check a cohort's files against their hashes and its tables against its schema; exit 2 if a check fails."""
    from neurotwin.verbs.cohort import print_checks

    print_checks(folder, as_json)
    tell_next(f"neurotwin train data.cohort={folder}")


@cohort.command("to-meds")
def cohort_to_meds(
    folder: CohortFolder,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the data set to be.")],
    epoch: Annotated[str, typer.Option(help="Date on which each subject's time zero is laid.")] = "2000-01-01",
) -> None:
    """Write a cohort as a MEDS 0.4 data set, with the mapping that reads it back."""
    from neurotwin.verbs.cohort import write_meds

    write_meds(folder, output, epoch)
    tell_next(f"neurotwin ingest meds {output} --mapping {output}/metadata/mapping.yaml -o DIR")
