"""Models: encoder, vector field and observation head behind one interface."""

from neurotwin.models.bayes_ode import BayesOde
from neurotwin.models.distilled_flow import DistilledFlow
from neurotwin.models.ensemble import Ensemble
from neurotwin.models.gru import Gru
from neurotwin.models.gru_ode_bayes import GruOdeBayes
from neurotwin.models.hazards import Hazards, Risk
from neurotwin.models.hybrid_ode import HybridOde
from neurotwin.models.latent_ode import LatentOde
from neurotwin.models.mechanism.grey_box import GreyBox
from neurotwin.models.neural_cde import NeuralCde
from neurotwin.models.neural_flow import NeuralFlow
from neurotwin.models.neural_mixed import NeuralMixed
from neurotwin.models.neural_ode import NeuralOde
from neurotwin.models.observation.likelihood import joint_gaussian_nll
from neurotwin.models.population_ode import PopulationOde
from neurotwin.models.prediction import LEVELS, Prediction
from neurotwin.models.surrogate import Surrogate

__all__ = [
    "LEVELS",
    "BayesOde",
    "DistilledFlow",
    "Ensemble",
    "GreyBox",
    "Gru",
    "GruOdeBayes",
    "Hazards",
    "HybridOde",
    "LatentOde",
    "NeuralCde",
    "NeuralFlow",
    "NeuralMixed",
    "NeuralOde",
    "PopulationOde",
    "Prediction",
    "Risk",
    "Surrogate",
    "joint_gaussian_nll",
]
