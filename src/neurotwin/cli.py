"""The command line. Each verb imports what it needs when it runs, so that ``--help`` stays fast."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from neurotwin import __version__
from neurotwin.disk import FULL
from neurotwin.verbs.calibrating import calibrate
from neurotwin.verbs.cohorts import cohort
from neurotwin.verbs.evaluation import compare, evaluate
from neurotwin.verbs.exporting import distill, export
from neurotwin.verbs.ingest import ingest
from neurotwin.verbs.monitoring import monitor
from neurotwin.verbs.next_step import tell_next
from neurotwin.verbs.promoting import promote, registry
from neurotwin.verbs.scoring import score
from neurotwin.verbs.serving import audit, serve
from neurotwin.verbs.sweeping import sweep
from neurotwin.verbs.trials import trial

INTERRUPTED = 130
OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}

app = typer.Typer(
    name="neurotwin",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Digital twins of patients: simulate or ingest, train, evaluate, export, predict. Not a medical device.",
)
app.add_typer(ingest, name="ingest")
app.add_typer(cohort, name="cohort")
app.add_typer(registry, name="registry")
app.add_typer(sweep, name="sweep")

BundleFolder = Annotated[Path, typer.Argument(help="Bundle folder, NAME@VERSION.", show_default=False)]


def main() -> None:
    """Entry point: errors become one line on stderr and the error's exit code."""
    from neurotwin.errors import NeurotwinError

    try:
        # Typer hands back the code of an exit instead of raising it, that of Ctrl-C too.
        code = app(standalone_mode=False)
    except NeurotwinError as error:
        _fail(str(error), error.exit_code)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("NT-1300 interrupted", INTERRUPTED)
    except MemoryError:
        _fail("NT-4000 out of memory; use a smaller batch or cohort", 4)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        # By its method, not its type: newer versions of typer bring their own copy of click.
        if tell := getattr(error, "format_message", None):
            if message := " ".join(tell().split()):
                _fail(f"NT-2050 {message.removesuffix('.')}; see neurotwin --help", 2)
            sys.exit(2)  # no verb was given, and the help is printed
        if type(error).__name__ == "OutOfMemoryError":
            _fail("NT-4000 the accelerator is out of memory; use a smaller batch or model", 4)
        if isinstance(error, OSError) and error.errno in FULL:
            _fail("NT-4000 the disk is full; make room and run again", 4)
        raise
    if code == INTERRUPTED:
        _fail("NT-1300 interrupted", INTERRUPTED)
    if isinstance(code, int) and code:
        sys.exit(code)


def _fail(line: str, code: int) -> None:
    print(line, file=sys.stderr)
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(context_settings=OVERRIDES)
def simulate(
    context: typer.Context,
    plot: Annotated[bool, typer.Option("--plot", help="Also draw summary.png into the cohort's folder.")] = False,
) -> None:
    """Simulate a cohort: neurotwin simulate simulator=geng_nsclc n_subjects=1000 seed=1 output=DIR"""
    from neurotwin.verbs.simulate import draw_cohort, simulate_cohort

    report = simulate_cohort(context.args)
    print(
        f"{report.n_subjects} subjects in {report.folder}, {sum(report.rejected.values())} rejected, "
        f"sha256 {report.sha256}",
        file=sys.stderr,
    )
    if plot:
        print(f"picture: {draw_cohort(report.folder)}", file=sys.stderr)
    tell_next(f"neurotwin train data.cohort={report.folder}")


@app.command()
def datasets(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all where none is named.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List public data sets: source, licence, where to get and put them, and whether they are here and whole."""
    from neurotwin.verbs.datasets import print_datasets

    print_datasets(names or [], as_json)


@app.command(context_settings=OVERRIDES)
def train(context: typer.Context) -> None:
    """Train a surrogate: neurotwin train experiment=lung_tumour [KEY=VALUE ...]; -m sweeps as Hydra does."""
    from neurotwin.extras import need

    need("lightning", "train")
    from neurotwin.train import main as train_main

    if code := train_main(context.args):
        sys.exit(code)


app.command()(distill)
app.command()(evaluate)
app.command()(compare)
app.command()(export)
app.command(context_settings=OVERRIDES)(calibrate)
app.command()(monitor)
app.command()(promote)
app.command()(score)
app.command()(serve)
app.command()(audit)
app.command(context_settings=OVERRIDES)(trial)


@app.command()
def predict(
    bundle: BundleFolder,
    patient: Annotated[Path, typer.Argument(help="Patient document (JSON).", show_default=False)],
    plan: Annotated[list[Path], typer.Option("--plan", "-p", help="Plan document (JSON); repeat to compare plans.")],
    form: Annotated[str, typer.Option("--format", "-f", help="json or csv.")] = "json",
) -> None:
    """Forecast one patient under one or more plans."""
    from neurotwin.verbs.predict import predict_plans

    text = predict_plans(bundle, patient, plan, form)
    sys.stdout.write(text)


@app.command()
def validate(bundle: BundleFolder) -> None:
    """Check a bundle: every hash, the graphs, and its golden cases on this machine."""
    from neurotwin.runtime import Predictor

    predictor = Predictor.load(bundle)
    found = predictor.bundle
    print(
        f"{found.name} {found.version}: {len(found.manifest['files'])} files, "
        f"{len(found.golden['cases'])} golden cases, all right"
    )


@app.command()
def inspect(bundle: BundleFolder) -> None:
    """Show what a bundle forecasts, in which units, and how sure it was."""
    from neurotwin.verbs.inspect import print_bundle

    print_bundle(bundle)


@app.command()
def models(folder: Annotated[Path, typer.Argument(help="Where bundles are.")] = Path("checkpoints")) -> None:
    """List the bundles in a folder."""
    from neurotwin.verbs.inspect import print_bundles

    print_bundles(folder)


@app.command()
def doctor() -> None:
    """Show what is installed, what each extra would add, and whether this machine can train and answer."""
    from neurotwin.verbs.doctor import print_findings

    print_findings()


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the demonstration.")] = Path("runs/demo"),
    quick: Annotated[bool, typer.Option(help="Fewer subjects and epochs: does the road hold?")] = False,
) -> None:
    """Walk the whole road on real and on simulated patients, and write a report."""
    from neurotwin.extras import need

    need("lightning", "train")
    from neurotwin.demo import run_demo

    page: Any = run_demo(out, quick=quick)
    print(f"report: {page}", file=sys.stderr)
    tell_next(
        f"neurotwin predict {out / 'bundles' / 'lung_tumour@0.1.0'} {out / 'examples/lung_tumour/patient.json'} "
        f"--plan {out / 'examples/lung_tumour/plan_a.json'}"
    )
