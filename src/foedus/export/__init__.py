"""Export: a verified release in the form that another library loads.

`peft` and `transformers` are the release's own files where it has that form; the weights of an adapter are folded into
its base model for the others. `onnx` and `mlflow` are made anew. Whatever is made is loaded by its own library before
anyone gets it, and its logits are compared with the release's. Each folder names release, digest and anchor, and says
which of its files the release's signatures cover.
"""

from foedus.export.source import Source, verified
from foedus.export.write import FORMS, Exported, export

__all__ = ["FORMS", "Exported", "Source", "export", "verified"]
