"""One recipe for forecasts on cohorts of real patients, and how it is judged: five folds, nested selection."""
