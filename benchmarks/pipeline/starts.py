"""How long the command and the package take to start."""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BARE = """
import hydra


@hydra.main(version_base=None, config_path=None)
def main(config):
    pass


main()
"""


def start_rows(repeats: int) -> list[dict[str, Any]]:
    """Least CPU seconds of each start, in turns with what it is held against."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        commands = {
            "neurotwin --help": [sys.executable, "-m", "neurotwin", "--help"],
            "hydra --help": [sys.executable, str(bare), "--help"],
            "import neurotwin": [sys.executable, "-c", "import neurotwin"],
            "import numpy": [sys.executable, "-c", "import numpy"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, command in commands.items():
                seconds[name].append(_cpu_of(command))
    least = {name: min(found) for name, found in seconds.items()}
    return [
        _row("neurotwin --help", "hydra --help", least, least["neurotwin --help"] / least["hydra --help"]),
        _row("import neurotwin", "import numpy", least, least["import neurotwin"] - least["import numpy"]),
    ]


def _row(what: str, beside: str, least: dict[str, float], ratio: float) -> dict[str, Any]:
    return {"what": what, "seconds": least[what], "beside": beside, "peer_seconds": least[beside], "ratio": ratio}


def _cpu_of(command: list[str]) -> float:
    """User and system seconds of a child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "COLUMNS": "100"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
