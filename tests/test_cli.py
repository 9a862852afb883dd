"""The command line: bad input is exit code 2, a bad artefact 3; one line on stderr, none on stdout, nothing written."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toys import QUIET, SIZES, toy_cohort

from neurotwin import __version__, cli
from neurotwin.errors import NeurotwinError, ResourceError

PATIENT = {
    "id": "p",
    "time_unit": "d",
    "static": {"age": {"value": 60, "unit": "a"}, "sex": "f"},
    "observations": [{"t": t, "variable": "volume", "value": 20.0 + t, "unit": "cm3"} for t in (0.0, 10.0, 20.0)],
    "treatments": [{"t": 5.0, "treatment": "chemo", "amount": 3.0, "unit": "mg"}],
}
PLAN = {
    "name": "a",
    "time_unit": "d",
    "treatments": [{"t": 2.0, "treatment": "chemo", "amount": 3.0, "unit": "mg"}],
    "query": {"every": 10, "until": 30},
}


@pytest.fixture
def neurotwin(monkeypatch, capfd):
    """Function: arguments -> (exit code, stdout, stderr) of the command line, in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["neurotwin", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def refused(neurotwin, tmp_path):
    """Function: arguments -> the one line told, after checking that the exit code is right and nothing was written."""

    def call(*arguments, code=2, where=tmp_path):
        before = {item: item.stat().st_mtime_ns for item in where.rglob("*")}
        found, out, err = neurotwin(*arguments)
        assert (found, out) == (code, ""), (found, out, err)
        assert err.count("\n") == 1 and err.startswith("NT-") and "Traceback" not in err, err
        assert {item: item.stat().st_mtime_ns for item in where.rglob("*")} == before
        return err.strip()

    return call


@pytest.fixture(scope="module")
def cohort_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "cohort"
    toy_cohort(40).save(path)
    return path


@pytest.fixture
def train(cohort_folder, tmp_path):
    return [
        "train",
        f"data.cohort={cohort_folder}",
        f"paths.output_dir={tmp_path / 'run'}",
        "trainer.max_epochs=1",
        *SIZES,
        *QUIET,
    ]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.max_epoch=3", "did you mean trainer.max_epochs?"),
        ("trainer.max_epochs=abc", "max_epochs is 'abc'; at trainer.max_epochs"),
        ("trainer.max_epochs=2.5", "max_epochs is 2.5"),
        ("trainer.accelerator=tpux", "trainer"),
        ("trainer.devices=0", "devices"),
        ("model.memory=abc", "memory is 'abc'; at model.memory; expected int"),
        ("model.hidden=-3", "model"),
        ("model.draws=3", "draws must be 1 or even, got 3"),
        ("model.solver.max_step=0", "max_step is 0"),
        ("model.solver.max_step=nan", "max_step is nan"),
        ("model.dropout=2", "dropout"),
        ("optimizer.lr=abc", "lr is 'abc'; at optimizer.lr"),
        ("optimizer.lr=nan", "nan"),
        ("optimizer.lr=inf", "lr is inf"),
        ("optimizer.lr=-1", "-1"),
        ("optimizer.lr=0", "lr is 0"),
        ("optimizer.weight_decay=-1", "weight_decay"),
        ("data.batch_size=abc", "batch_size is 'abc'; at data.batch_size; expected int"),
        ("data.batch_size=0", "batch_size is 0"),
        ("data.min_visits=40", "no subject has enough visits"),
        ("data.forget=1.5", "forget is 1.5"),
        ("data.cohort=/nowhere/at/all", "no cohort here; at /nowhere/at/all"),
        ("seed=abc", "seed is 'abc'"),
        ("loss.absolute=-1", "absolute is -1"),
        ("model=latent_oed", "did you mean latent_ode?"),
        ("solver@model.solver=rk5", "did you mean rk4?"),
        ("name=${name}", "name"),
        ("model._target_=os.system", "target 'os.system' is not trusted"),
        ("+callbacks.x._target_=torch.hub.load", "target 'torch.hub.load' is not trusted"),
        ("--frobnicate", "unknown option '--frobnicate'"),
        ("-m trainer.max_epoch=3 seed=1,2", "did you mean trainer.max_epochs?"),
        ("-m seed=1,2 =", "not an override"),
        ("callbacks.checkpoints.save_top_k=abc", "save_top_k is 'abc'"),
    ],
)
def test_training_refuses_bad_configuration(refused, train, tmp_path, override, words):
    assert words in refused(*train, *override.split(" "))
    assert not (tmp_path / "run").exists()


def test_training_needs_a_cohort(refused, tmp_path):
    assert "data.cohort is missing" in refused("train", f"paths.output_dir={tmp_path / 'run'}")


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"{", b"\xff\xfe\x00", b'{"format": 99, "shards": [], "schema": {}}', b"null"], ids=str
)
def test_a_cohort_that_cannot_be_read_is_refused(refused, train, tmp_path, raw):
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "cohort.json").write_bytes(raw)
    assert "cohort" in refused(*train, f"data.cohort={tmp_path / 'cohort'}")


def test_an_existing_run_is_not_touched(neurotwin, refused, train):
    assert neurotwin(*train)[0] == 0
    assert "holds a run already" in refused(*train)


def test_the_next_step_is_told(neurotwin, train, tmp_path):
    code, out, err = neurotwin(*train)
    assert (code, out) == (0, "") and err.splitlines()[-1].endswith(f"next: neurotwin evaluate {tmp_path / 'run'}")


@pytest.mark.parametrize(
    "override",
    [
        "n_subjects=abc",
        "n_subjects=0",
        "n_subjects=-3",
        "simulator=nothing",
        "n_subject=3",
        "--flag",
        "simulator.growth_rate=abc",
    ],
)
def test_simulation_refuses_bad_configuration(refused, tmp_path, override):
    refused("simulate", f"output={tmp_path / 'cohort'}", "progress=false", override)
    assert not (tmp_path / "cohort").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["predict", "--frobnicate"],
        ["predict"],
        ["evaluate"],
        ["export", "run"],
        ["ingest", "frobnicate"],
        ["export", "run", "-o", "a@1.0.0", "--timelines", "abc"],
    ],
    ids=" ".join,
)
def test_unknown_verbs_and_options_are_refused(neurotwin, arguments):
    code, out, err = neurotwin(*arguments)
    assert code == 2 and out == "" and "Traceback" not in err
    assert err.startswith("NT-2050") and err.count("\n") == 1


def test_a_hydra_option_without_its_value_gets_hydras_usage(neurotwin):
    code, out, err = neurotwin("train", "--cfg")
    assert code == 2 and out == "" and err.startswith("usage:") and err.endswith("--cfg/-c: expected one argument\n")


@pytest.fixture
def two_runs(neurotwin, train, tmp_path):
    """A run of one epoch, and a copy of it."""
    assert neurotwin(*train)[0] == 0
    return [tmp_path / "run", Path(shutil.copytree(tmp_path / "run", tmp_path / "twin"))]


def test_runs_are_compared_on_one_page(neurotwin, refused, two_runs, tmp_path):
    report, page = tmp_path / "c.json", tmp_path / "c.html"
    more = ["--by", "sex", "--json", report, "--html", page, "--bootstrap", 20]
    code, out, err = neurotwin("compare", *two_runs, *more)
    assert (code, out) == (0, "") and "MAE less neural_ode" in err and f"page: {page}" in err
    found = json.loads(report.read_text())
    assert found["predictors"] == ["neural_ode", "neural_ode_2", "locf", "population_mean"]
    assert found["baselines"] == ["neural_ode"] and {one["by"] for one in found["subgroups"]} == {"sex"}
    compared = {(one["predictor"], one["baseline"]) for one in found["differences"]}
    assert compared == {(name, "neural_ode") for name in found["predictors"][1:]}
    twins = [one for one in found["differences"] if one["predictor"] == "neural_ode_2"]
    assert {one["metrics"]["mae"]["pooled"]["value"] for one in twins} == {0.0}
    content = page.read_text()
    assert "<h3>Differences</h3>" in content and "<h3>Subgroups</h3>" in content and "sex: f" in content
    assert "expected one of neural_ode, neural_ode_2, locf" in refused("compare", *two_runs, "--reference", "gru")
    assert "expected one of age, sex" in refused("compare", *two_runs, "--by", "nose")
    assert "no such folder" in refused("compare", *two_runs, "--html", tmp_path / "none" / "c.html").splitlines()[-1]


def test_a_bundle_is_scored_on_a_cohort(neurotwin, refused, node_bundle, cohort_folder, toy_cohort, tmp_path):
    own = tmp_path / "cohort"
    toy_cohort.save(own)
    code, out, err = neurotwin("evaluate", node_bundle, "--cohort", own, "--cut", 30, "--bootstrap", 20)
    assert (
        (code, out) == (0, "")
        and "MAE less locf" in err
        and err.splitlines()[-1] == f"next: neurotwin inspect {node_bundle}"
    )
    assert "a bundle, not a training run" in refused("evaluate", node_bundle)
    assert "no cohort here" in refused("evaluate", node_bundle, "--cohort", tmp_path / "none")
    assert "other variables than the bundle's" in refused("evaluate", node_bundle, "--cohort", cohort_folder)
    assert "expected train, validation or test" in refused(
        "evaluate", node_bundle, "--cohort", cohort_folder, "--part", "all"
    )


@pytest.mark.parametrize("verb", [["evaluate", "{}"], ["export", "{}", "-o", "toy@1.0.0"]])
def test_a_folder_without_a_run_is_refused(refused, tmp_path, verb):
    assert "no training run here" in refused(*(part.format(tmp_path) for part in verb))


@pytest.mark.parametrize(
    "verb",
    [
        ["validate", "{}"],
        ["inspect", "{}"],
        ["predict", "{}", "{}/p.json", "-p", "{}/q.json"],
        ["models", "{}/nothing"],
    ],
)
def test_a_folder_without_a_bundle_is_a_bad_artefact(refused, tmp_path, verb):
    for name, content in (("p.json", PATIENT), ("q.json", PLAN)):
        (tmp_path / name).write_text(json.dumps(content))
    refused(*(part.format(tmp_path) for part in verb), code=3)


@pytest.fixture
def documents(tmp_path):
    """Function: write a patient and a plan, parts of them replaced; returns the arguments of predict."""

    def write(patient=None, plan=None):
        for name, content in (("patient", patient), ("plan", plan)):
            given = {"patient": PATIENT, "plan": PLAN}[name] if content is None else content
            (tmp_path / f"{name}.json").write_bytes(given if isinstance(given, bytes) else json.dumps(given).encode())
        return [str(tmp_path / "patient.json"), "--plan", str(tmp_path / "plan.json")]

    return write


def changed(document, path, value):
    """A copy with one place of it changed; None removes it."""
    copy = json.loads(json.dumps(document))
    *way, last = path
    node = copy
    for step in way:
        node = node[step]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return copy


def test_a_whole_question_is_answered_in_json_and_csv(neurotwin, gru_bundle, documents):
    code, out, err = neurotwin("predict", gru_bundle, *documents())
    assert code == 0 and err == "" and json.loads(out)["status"] in ("ok", "abstain", "degraded")
    code, out, _ = neurotwin("predict", gru_bundle, *documents(), "--format", "csv")
    assert code == 0 and out.startswith("plan,status,reasons,t,")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("observations", 0, "unit"), "furlong", "unit"),
        (("observations", 0, "unit"), "mg", "unit"),
        (("observations", 0, "unit"), None, "unit"),
        (("observations", 0, "variable"), None, "variable"),
        (("observations", 0, "value"), "12", "observations"),
        (("observations", 0, "value"), True, "observations"),
        (("observations", 0, "values"), 3, "observations"),
        (("treatments", 0, "treatment"), "aspirin", "unknown_treatment"),
        (("treatments", 0, "unit"), "mmHg", "unit"),
        (("treatments", 0, "amount"), None, "treatments"),
        (("time_unit",), "fortnight", "time"),
        (("time_unit",), None, "time_unit"),
        (("id",), None, "id"),
        (("static", "age", "unit"), "kg", "unit"),
        (("static", "age", "value"), "old", "static"),
    ],
)
def test_predict_refuses_a_bad_patient(refused, gru_bundle, documents, path, value, words):
    line = refused("predict", gru_bundle, *documents(patient=changed(PATIENT, path, value)))
    assert words in line and "patient.json" in line


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("query",), None),
        (("query", "every"), -1),
        (("query", "every"), 0),
        (("name",), None),
        (("treatments", 0, "treatment"), "aspirin"),
        (("treatments", 0, "unit"), "furlong"),
        (("ongoing",), "maybe"),
    ],
    ids=str,
)
def test_predict_refuses_a_bad_plan(refused, gru_bundle, documents, path, value):
    refused("predict", gru_bundle, *documents(plan=changed(PLAN, path, value)))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n",
        b"{",
        b"[]",
        b"null",
        b"3",
        b"\xff\xfe{}",
        b'{"id": 1e999}',
        b'{"id": NaN}',
        b'{"id": "a", "id": "b"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\x00",
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_predict_refuses_what_is_no_document(refused, gru_bundle, documents, raw):
    refused("predict", gru_bundle, *documents(patient=raw))
    refused("predict", gru_bundle, *documents(plan=raw))


def test_predict_refuses_missing_files_folders_and_formats(refused, gru_bundle, documents, tmp_path):
    patient, _, plan = documents()
    assert "no such file" in refused("predict", gru_bundle, tmp_path / "nothing.json", "-p", plan)
    refused("predict", gru_bundle, tmp_path, "-p", plan)
    assert "expected json or csv" in refused("predict", gru_bundle, patient, "-p", plan, "--format", "xml")


def test_a_message_never_carries_a_value(refused, gru_bundle, documents):
    canary = 31415.926
    line = refused(
        "predict",
        gru_bundle,
        *documents(
            patient=changed(
                changed(PATIENT, ("observations", 0, "value"), canary), ("observations", 0, "unit"), "furlong"
            )
        ),
    )
    assert "31415" not in line


@pytest.mark.parametrize("name", ["forecast.onnx", "signature.json", "golden.json", "LICENSE", "training/config.yaml"])
def test_a_tampered_bundle_is_a_bad_artefact(refused, gru_bundle, documents, copy_of, tmp_path, name):
    bundle = copy_of(gru_bundle)
    raw = bytearray((bundle / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (bundle / name).write_bytes(raw)
    for arguments in (["validate", bundle], ["predict", bundle, *documents()], ["inspect", bundle]):
        assert "does not match its recorded hash" in refused(*arguments, code=3)


def test_a_bundle_that_does_not_answer_its_golden_cases_is_refused(refused, gru_bundle, copy_of, rehash):
    bundle = copy_of(gru_bundle)
    golden = json.loads((bundle / "golden.json").read_text())
    data = golden["cases"][0]["forecast"]["outputs"]["mean"]["data"]
    data[0] = data[0] * 1.5 + 1
    (bundle / "golden.json").write_text(json.dumps(golden))
    rehash(bundle)
    refused("validate", bundle, code=3)


def test_a_whole_bundle_is_validated_inspected_and_listed(neurotwin, gru_bundle):
    code, out, err = neurotwin("validate", gru_bundle)
    assert code == 0 and "golden cases, all right" in out and err == ""
    assert "volume" in neurotwin("inspect", gru_bundle)[1]
    assert "toy_gru@0.1.0" in neurotwin("models", gru_bundle.parent)[1]


def test_version_help_and_doctor(neurotwin):
    assert neurotwin("--version") == (0, f"{__version__}\n", "")
    code, out, _ = neurotwin("--help")
    assert code == 0 and all(
        verb in out for verb in ("simulate", "ingest", "train", "evaluate", "export", "predict", "validate")
    )
    assert neurotwin()[0] == 2
    assert "accelerator" in neurotwin("doctor")[1]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ResourceError("no room"), 4, "NT-4000 no room"),
        (MemoryError(), 4, "out of memory"),
        (OSError(28, "No space left on device"), 4, "disk is full"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (NeurotwinError("odd"), 2, "NT-1000 odd"),
        (type("OutOfMemoryError", (RuntimeError,), {})(), 4, "out of memory"),
    ],
    ids=lambda item: type(item).__name__ if isinstance(item, BaseException) else None,
)
def test_errors_have_exit_codes(neurotwin, monkeypatch, error, code, words):
    def fail(path):
        raise error

    monkeypatch.setattr("neurotwin.verbs.inspect.print_bundle", fail)
    found, out, err = neurotwin("inspect", "x")
    assert (found, out) == (code, "") and words in err and err.count("\n") == 1


def test_a_bug_keeps_its_traceback(neurotwin, monkeypatch):
    def fail(path):
        raise ZeroDivisionError

    monkeypatch.setattr("neurotwin.verbs.inspect.print_bundle", fail)
    with pytest.raises(ZeroDivisionError):
        neurotwin("inspect", "x")


def test_the_installed_command_and_the_module_are_one(tmp_path):
    for command in (["-m", "neurotwin", "frobnicate"], ["-m", "neurotwin.train", "data.cohort=nowhere", "nothing=1"]):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert not list(tmp_path.iterdir())
