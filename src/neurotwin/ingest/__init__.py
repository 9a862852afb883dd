"""Sources of recorded data, read into a Cohort with every row accounted for.

A reader turns its source into batches of text (`batches`), and everything after it is one road for all formats
(`pipeline`): `layouts` finds the cells of a batch, `quantities`, `times` and `doses` read them, `convert` sends events
to `buckets` on disk or counts why not, `assemble` settles duplicates bucket by bucket, and `build` writes the cohort.
`accounting` and `rows` count what became of each item and each row; `flags` and `survey` look at what was kept, and
`report` tells all of it, as JSON and as a page (`page`).
"""
