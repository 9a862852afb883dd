"""What a flow map is trained for: to be where its teacher is."""

from torch import Tensor, nn

from neurotwin.models.distilled_flow import DistilledFlow
from neurotwin.training.distill.courses import Courses


class CourseLoss(nn.Module):
    """Squared distance between student and teacher, per subject.

    Of what the head says (location in model units, so in a channel's scale, and the logarithm of the noise), and of the
    state over the size of its changes: what the head does not read decides what it reads later.

    Args:
        location: distance of locations that counts as one.
        noise, state: weights.
    """

    def __init__(self, location: float = 0.5, noise: float = 0.5, state: float = 0.3) -> None:
        super().__init__()
        self.location, self.noise, self.state = location, noise, state

    def forward(self, model: DistilledFlow, found: Tensor, courses: Courses) -> Tensor:
        """``[batch]``; ``found`` ``[batch, draw, query, learned]`` is the student's course."""
        (location, scale), (told, spread) = model.head(found), model.head(courses.target)
        apart = ((location - told) / self.location).square().mean((1, 2, 3))
        noise = (scale.log() - spread.log()).square().mean((1, 2, 3))
        state = ((found - courses.target) / model.flow.change).square().mean((1, 2, 3))
        return apart + self.noise * noise + self.state * state
