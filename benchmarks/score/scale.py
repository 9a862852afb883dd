"""100 million patients on paper, from what was measured on one core."""

from typing import Any

PATIENTS = 100_000_000
PRICE = 0.04
"""Assumed price of one core hour, in US dollars: about that of a general-purpose core on demand in a public cloud."""
PART, SHARD = 10_000, 100_000
"""Assumed subjects of a part and of a shard of the cohort."""
ROW_GROUP = 2**20
"""Rows of a row group, as a cohort is written."""
LOST_EVERY = 30 * 24.0
"""Assumed hours between two losses of one core's worker, whatever the cause: a core of a machine that lasts a month."""
CORES = (16, 256, 1024)


def plan_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    """By number of cores: hours, what flows, and what is lost."""
    hours = PATIENTS * row["scored_us"] / 3.6e9
    rows = []
    for cores in CORES:
        wall = hours / cores
        losses = hours / LOST_EVERY
        again = losses * 0.5 * PART * row["scored_us"] / 3.6e9
        rows.append(
            {
                "cores": cores,
                "hours": wall,
                "memory_gb": cores * row["memory_mib"] / 1024,
                "read_mb_s": PATIENTS * row["bytes_in"] / (wall * 3600) / 1e6,
                "write_mb_s": PATIENTS * row["bytes_out"] / (wall * 3600) / 1e6,
                "losses": losses,
                "again_hours": again,
            }
        )
    return rows


def plan_facts(row: dict[str, Any]) -> str:
    """In words."""
    hours = PATIENTS * row["scored_us"] / 3.6e9
    read, written = PATIENTS * row["bytes_in"] / 1e9, PATIENTS * row["bytes_out"] / 1e9
    lines = (
        f"- One core scores {row['per_second']:.0f} patients a second ({row['scored_us']:.0f} microseconds each).",
        f"- {PATIENTS:,} patients are {hours:.1f} core hours: {hours * PRICE:.2f} US dollars at an assumed {PRICE} a",
        "  core hour, disks and network not counted.",
        f"- The cohort is {read:.0f} GB in {PATIENTS // SHARD:,} shards of {SHARD:,} subjects. Its longest table has",
        f"  {row['events']:.0f} rows a subject, so a row group of {ROW_GROUP:,} rows holds about",
        f"  {ROW_GROUP / row['events']:,.0f} subjects.",
        f"- The scores are {written:.1f} GB in {PATIENTS // PART:,} parts of {PART:,} subjects, each the work of",
        f"  {PART * row['scored_us'] / 1e6:.1f} seconds.",
        f"- A worker that scored {row['patients']:,} subjects needed {row['memory_mib']:.0f} MiB.",
    )
    return "\n".join(lines)
