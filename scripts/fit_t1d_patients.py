"""Fit the population of t1d_uvapadova to the 30 patients of simglucose and write the numbers into the package.

    python scripts/fit_t1d_patients.py [vpatient_params.csv [fit.json]]

Each age group has its own mean and SD of each parameter (logarithms, or logits of shares). Ten patients say little
about 25 x 25 correlations, so the deviations of all 30 from their groups' means are pooled, and the correlations are
shrunk towards 0 as Schaefer and Strimmer do (Statistical Applications in Genetics and Molecular Biology 4:32, 2005):
by the sum of the estimated variances of the correlations over the sum of their squares.
"""

import json
import sys
from pathlib import Path

import numpy as np

from neurotwin.simulators import t1d_patients
from neurotwin.simulators.t1d_parameters import SYMBOLS
from neurotwin.simulators.t1d_patients import FIT, FITTED, GROUPS, patient_table, to_scale


def shrunk_correlation(deviations: np.ndarray, free: int) -> tuple[np.ndarray, float]:
    """Correlations of columns with mean 0 and SD 1, and how far they were shrunk; ``free`` degrees of freedom."""
    products = deviations[:, :, None] * deviations[:, None, :]
    n = len(deviations)
    correlation = products.sum(axis=0) / free
    variance = n / free**3 * ((products - products.mean(axis=0)) ** 2).sum(axis=0)
    off = ~np.eye(len(correlation), dtype=bool)
    shrinkage = float(np.clip(variance[off].sum() / (correlation[off] ** 2).sum(), 0, 1))
    return np.where(off, (1 - shrinkage) * correlation, 1.0), shrinkage


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else t1d_patients.table_path()
    group, values = patient_table(path)
    columns = to_scale(dict(zip(SYMBOLS, values.T, strict=True)))
    mean = np.stack([columns[group == i].mean(axis=0) for i in range(len(GROUPS))])
    sd = np.stack([columns[group == i].std(axis=0, ddof=1) for i in range(len(GROUPS))])
    correlation, shrinkage = shrunk_correlation((columns - mean[group]) / sd[group], len(columns) - len(GROUPS))
    content = {
        "source": "fit to the 30 patients of simglucose 0.2.11 by scripts/fit_t1d_patients.py",
        "shrinkage": round(shrinkage, 4),
        **{
            what: {
                name: dict(zip(FITTED, row.round(5).tolist(), strict=True))
                for name, row in zip(GROUPS, table, strict=True)
            }
            for what, table in (("mean", mean), ("sd", sd))
        },
        "correlation": correlation.round(4).tolist(),
    }
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(t1d_patients.__file__).with_name(FIT)
    target.write_text(json.dumps(content) + "\n", encoding="utf-8")
    print(f"{target}: {len(columns)} patients, correlations shrunk by {shrinkage:.2f}")


if __name__ == "__main__":
    main()
