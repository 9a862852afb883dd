"""The public names of each package: a change here is a change for users, so it is made on purpose."""

import importlib

import pytest

PUBLIC = {
    "neurotwin.calibrating": """
        Virtual calibrate_differences check_target recalibrated reissue
    """,
    "neurotwin.data": """
        Batch CohortData EpisodeBatches Events random_batch random_cuts
    """,
    "neurotwin.evaluation": """
        Difference Estimate EvaluationReport GradientBoosting LinearMixed Locf Metric PopulationMean Reliability
        Score calibrated choose_cuts cross_validate evaluate fit_calibration print_report random_cuts score
        with_measured_coverage
    """,
    "neurotwin.export": """
        Exported Source export_bundle write_repository
    """,
    "neurotwin.models": """
        LEVELS BayesOde DistilledFlow Ensemble GreyBox Gru GruOdeBayes Hazards HybridOde LatentOde NeuralCde NeuralFlow
        NeuralMixed NeuralOde PopulationOde Prediction Risk Surrogate joint_gaussian_nll
    """,
    "neurotwin.monitoring": """
        Check MonitorReport Options Reference monitor watch
    """,
    "neurotwin.registry": """
        Gate Registry Row Verdict judge read_gate
    """,
    "neurotwin.runtime": """
        AlertPolicyDocument BudgetDocument ConstraintsDocument EventDocument GoalDocument HorizonDocument INPUT_FAULTS
        PatientDocument PlanDocument Predictor Reason
        TargetDocument Twin check_order parse_document read_document schemas
    """,
    "neurotwin.score": """
        Job Outcome Part Schedule Scored Scorer Summary Task make_job parts_of score_cohort
    """,
    "neurotwin.solvers": """
        NON_FINITE OK STEP_BUDGET Bosh3 Dopri5 Euler FixedStep Heun Midpoint MlpField Rk4 Rows
        Solution Solver TorchEngine Torchdiffeq odesolve over_rows
    """,
    "neurotwin.store": """
        Entry Filter Loaded ModelVersion Observed PatientSummary SavedForecast Store
    """,
    "neurotwin.trials": """
        Arm Design Sizes Trial World run_trial
    """,
    "neurotwin.training": """
        Checkpoints JointGaussian Mlflow Recipe ResumePoints SafetensorsCheckpoints StopWhenBadNumbers
        SurrogatePredictor SurrogateTraining load_model probe_parameters read_checkpoint train
        warmup_cosine write_checkpoint
    """,
}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_names_are_these(name):
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())
    assert all(hasattr(module, item) for item in module.__all__)
