"""Sources of recorded data, read into a Cohort with every row accounted for.

A reader yields raw records, still as text (`records`); `convert` turns them into events or a reason; `accounting`
counts what became of each; `assemble` settles duplicates and builds the Cohort. Only the reader and the part of the
mapping that names its columns belong to one format: see `delimited`, `layouts` and `csv` for delimited text.
"""
