"""neurotwin datasets."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape

from neurotwin.errors import IngestError
from neurotwin.ingest.datasets import FOLDER_VARIABLE, Dataset, catalogue, data_folder, path_of, state_of
from neurotwin.ingest.mapping_columns import nearest


def print_datasets(names: list[str], as_json: bool = False) -> None:
    """Print what public data sets there are, where they come from, and whether they can be read here.

    Args:
        names: those to tell about; none means all.
        as_json: JSON on standard output in the place of text.

    Raises:
        IngestError: a name that is not in the catalogue.
    """
    known = catalogue()
    for name in names:
        if name not in known:
            raise IngestError(
                f"no data set {name!r}{nearest(name, known)}", where="datasets", expected=f"one of {', '.join(known)}"
            )
    told = [_told(known[name]) for name in names or known]
    if as_json:
        print(json.dumps({"folder": str(data_folder()), "datasets": told}, indent=1))
        return
    console = Console(soft_wrap=True, highlight=False)
    for item in told:
        colour = "green" if item["state"] == "ready" else "red" if item["state"] == "differs" else "yellow"
        console.print(f"[bold]{item['name']}[/bold]  [{colour}]{item['state']}[/{colour}]  {escape(item['title'])}")
        for key in ("source", "licence", "get", "put", "use"):
            if item[key]:
                console.print(f"    {key + ':':<9}{escape(item[key])}")
    print(f"folder of downloads: {data_folder()} (set {FOLDER_VARIABLE} to change it)", file=sys.stderr)


def _told(dataset: Dataset) -> dict[str, Any]:
    paths = [path_of(dataset, file) for file in dataset.files]
    return {
        "name": dataset.name,
        "state": state_of(dataset),
        "title": dataset.title,
        "source": dataset.source,
        "reference": dataset.reference,
        "licence": dataset.licence,
        "get": dataset.get,
        "put": str(paths[0]) if len(paths) == 1 else f"{len(paths)} files in {paths[0].parent}" if paths else "",
        "files": [
            {"path": str(path), "bytes": file.bytes, "sha256": file.sha256}
            for path, file in zip(paths, dataset.files, strict=True)
        ],
        "use": dataset.command,
        "experiment": dataset.experiment,
    }
