"""Tables of data sets that do not come as one table of text: what is joined, and what is derived."""

import io
import warnings
from typing import Any

import numpy as np

from neurotwin.extras import need

LXF_ARMS = {
    "lxf_control_growth.csv": "control",
    "lxf_low_erlotinib_dose.csv": "low",
    "lxf_medium_erlotinib_dose.csv": "medium",
    "lxf_high_erlotinib_dose.csv": "high",
    "lxf_single_erlotinib_dose.csv": "single",
}
"""File -> arm: no erlotinib, 6.25, 25 and 100 mg/kg a day; ``single`` are 30 other mice, one dose, no tumour."""
LXF_COLUMNS = {
    "Tumour volume": "tumour_volume",
    "Body weight": "body_weight",
    "Plasma concentration": "plasma_concentration",
}
"""What is measured, in cm3, g and ng/mL, -> column."""
REGULAR_HOURS = 72.0
"""How far back the doses of a regular interval are written out: nine half-lives of quinidine (about 8 h) or more."""


def paquid_table(content: bytes) -> Any:
    """The data frame of ``paquid.rda`` with the column ``years``: age less age at entry, in years.

    Args:
        content: bytes of an R data file that holds the data frame ``paquid``.
    """
    rdata = need("rdata", "realdata")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about R's row names
        table = rdata.read_rda(io.BytesIO(content))["paquid"]
    table["years"] = (table["age"] - table["age_init"]).round(6)
    return table


def lxf_table(files: dict[str, bytes]) -> Any:
    """Five files of the erlotinib study as one table: a row for each mouse and time at which there is anything.

    Columns: ``mouse`` (those of the single dose, numbered anew at the source, have an ``s`` before the number),
    ``arm``, ``day``, the columns of `LXF_COLUMNS`, and ``dose`` in mg.

    Args:
        files: `LXF_ARMS` says which; content by name.
    """
    pd = need("pandas", "simulate")
    parts = []
    for name, arm in LXF_ARMS.items():
        rows = pd.read_csv(io.BytesIO(files[name]))
        rows["mouse"] = ("s" if arm == "single" else "") + rows["ID"].astype(str)
        rows["arm"], rows["day"] = arm, rows["Time"].astype(float)
        keys = ["mouse", "arm", "day"]
        measured = rows[rows["Value"].notna()].set_index([*keys, "Observable"])["Value"].unstack()
        given = rows[rows["Dose"].notna()].set_index(keys)["Dose"] if "Dose" in rows else None
        parts.append(measured if given is None else measured.join(given, how="outer"))
    table = pd.concat(parts).rename(columns={**LXF_COLUMNS, "Dose": "dose"})
    return table[[*LXF_COLUMNS.values(), "dose"]].reset_index()


def quinidine_table(table: Any) -> Any:
    """The table nlme/Quinidine with three changes, since one row of it can mean more than it says.

    * ``interval`` (hours) at a dose says that this dose had been given at that interval for long. The doses before it
      are written out as rows of their own (``row``: ``implied``), back to the patient's previous row or for
      `REGULAR_HOURS`, whichever is nearer.
    * ``glyco`` is carried along from row to row; it is kept where it is new.
    * Covariates stand in each row, and some change; those of the patient's first row are kept.
    """
    pd = need("pandas", "simulate")
    table = table.drop(columns="rownames", errors="ignore").copy()
    table.insert(2, "row", "recorded")
    first = ~table["Subject"].duplicated()
    previous = table.groupby("Subject", sort=False)["time"].shift()
    table["glyco"] = table["glyco"].where(first | (table["glyco"] != table.groupby("Subject")["glyco"].shift()))
    people = ["Age", "Height", "Weight", "Race", "Smoke", "Ethanol", "Heart", "Creatinine"]
    table[people] = table[people].astype(object).where(first, None)
    implied = []
    for row, last in zip(table.itertuples(index=False), previous, strict=True):
        if row.interval > 0 and row.dose > 0:  # neither is missing
            # Strictly after the previous row; hours to six decimals, so that rounding makes no dose at that row.
            earliest = max(row.time - REGULAR_HOURS, last + 1e-3 if last == last else -np.inf)
            for number in range(1, int(REGULAR_HOURS / row.interval) + 1):
                hour = round(row.time - number * row.interval, 6)
                if hour >= earliest:
                    implied.append({"Subject": row.Subject, "time": hour, "row": "implied", "dose": row.dose})
    written = pd.concat([table, pd.DataFrame(implied).astype({"Subject": table["Subject"].dtype})])
    return written.sort_values(["Subject", "time"], kind="stable").reset_index(drop=True)
