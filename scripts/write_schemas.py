"""Write the JSON Schemas of documents and answers to docs/schemas: python scripts/write_schemas.py"""

import json
from pathlib import Path

from neurotwin.runtime import schemas

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"


def main() -> None:
    """Write each anew, and take away what is no schema any more."""
    FOLDER.mkdir(exist_ok=True)
    told = schemas()
    for path in FOLDER.glob("*.json"):
        if path.stem not in told:
            path.unlink()
    for name, content in told.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
