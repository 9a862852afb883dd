"""Export: ONNX graphs, the proof of parity, and the bundle around them."""

from neurotwin.export.export import Exported, Source, export_bundle

__all__ = ["Exported", "Source", "export_bundle"]
