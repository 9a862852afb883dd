"""Export: ONNX graphs, the proof of parity, and the bundle around them; a model repository from a bundle."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurotwin.export.export import Exported, Source, export_bundle
    from neurotwin.export.triton import write_repository

__all__ = ["Exported", "Source", "export_bundle", "write_repository"]


def __getattr__(name: str) -> Any:
    """torch is imported when something is exported from a model: a repository is written from a bundle without it."""
    if name == "write_repository":
        from neurotwin.export.triton import write_repository

        return write_repository
    if name in __all__:
        from neurotwin.export import export

        return getattr(export, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
