"""A training that costs nothing: `python -m stub_train OVERRIDE ...` leaves the files of a run, and says who it was.

STUB_EPOCHS epochs of STUB_PAUSE seconds, of ten times as many above a rate of 0.3. The loss is least at
optimizer.lr = 0.01; with a rate above 0.5 it fails as a training does. Each start and end goes to the file STUB_DIARY;
a second process in one folder is told there too.
"""

import fcntl
import json
import math
import os
import sys
import time
from pathlib import Path


def value_of(key, default):
    found = [item.split("=", 1)[1] for item in sys.argv[1:] if item.split("=")[0] == key]
    return found[-1].strip("'") if found else default


def note(word, folder):
    with Path(os.environ["STUB_DIARY"]).open("a") as diary:
        diary.write(f"{word} {folder} {os.getpid()}\n")


def main():
    folder, rate = Path(value_of("paths.output_dir", "")), float(value_of("optimizer.lr", "0.01"))
    seed, width = int(value_of("seed", "1")), float(value_of("model.hidden", "16"))
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        note("TWICE", folder)
        return 2
    note("start", folder)
    if rate > 0.5:
        print("NT-2650 the validation loss was never finite; lower the learning rate", file=sys.stderr)
        return 2
    epochs, pause = int(os.environ.get("STUB_EPOCHS", "3")), float(os.environ.get("STUB_PAUSE", "0.05"))
    (folder / "metrics.csv").write_text("epoch,step,validation/absolute_error,validation/loss\n")
    loss = math.inf
    for epoch in range(epochs):
        time.sleep(pause * (10 if rate > 0.3 else 1))
        loss = math.log10(rate / 0.01) ** 2 + abs(width - 32) / 100 + 0.01 * seed + 1 / (epoch + 1)
        with (folder / "metrics.csv").open("a") as log:
            log.write(f"{epoch},{epoch},{loss / 2},{loss}\n")
        (folder / "checkpoints" / "last.safetensors").write_text("weights")
    metrics = {
        "best_validation_loss": loss,
        "epochs": epochs,
        "parameters": int(width) ** 2,
        "measures": {"balance": 0.5},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    note("end", folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
