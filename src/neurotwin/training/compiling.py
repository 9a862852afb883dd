"""Networks compiled by torch, where a configuration asks for it."""

from torch import nn

from neurotwin.errors import ConfigError

COMPILER = ("torch._dynamo", "torch._inductor")


def compile_networks(model: nn.Module) -> None:
    """Let torch compile each network of a model when it is first called, for batches of any size; names and weights
    stay as they are. Loops over rows and steps remain Python's."""
    for part in model.children():
        if any(True for _ in part.parameters()):
            part.compile(dynamic=True)


def refusal(error: Exception) -> ConfigError | None:
    """What to tell of an error if it is the compiler's."""
    if not type(error).__module__.startswith(COMPILER):
        return None
    return ConfigError(
        f"torch.compile does not work here ({type(error).__name__})",
        where="compile",
        expected="a C++ compiler, on a GPU Triton",
        remedy="leave it out: compile=false",
    )
