"""Models: encoder, vector field and observation head behind one interface."""

from neurotwin.models.grey_box import GreyBox
from neurotwin.models.gru import Gru
from neurotwin.models.neural_ode import NeuralOde
from neurotwin.models.prediction import LEVELS, Prediction, joint_gaussian_nll
from neurotwin.models.surrogate import Surrogate

__all__ = ["LEVELS", "GreyBox", "Gru", "NeuralOde", "Prediction", "Surrogate", "joint_gaussian_nll"]
