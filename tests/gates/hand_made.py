"""Small files and figures made by hand."""

import json
import struct
from pathlib import Path

from foedus.records.evidence import Examination, Figure

STATE = "sha256:" + "5" * 64


def safetensors(tensors: dict[str, tuple[str, list[int], bytes]], *, metadata: dict | None = None) -> bytes:
    header, body = {"__metadata__": metadata} if metadata is not None else {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def floats(*values: float, kind: str = "f") -> bytes:
    return struct.pack(f"<{len(values)}{kind}", *values)


def model(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(
        safetensors({"a": ("F32", [2, 2], floats(1, -2, 0.5, 3e38))}, metadata={"format": "pt"})
    )
    (folder / "config.json").write_bytes(b'{"model_type": "bert"}')
    return folder


def figure(
    arm: str, member: str | None, low: str, estimate: str, high: str, *, n: int = 100, metric="accuracy"
) -> Figure:
    return Figure(arm=arm, member=member, metric=metric, n=n, estimate=estimate, low=low, high=high)


def examination(*figures: Figure, run: str = "r1", state: str = STATE) -> Examination:
    return Examination(run=run, state=state, replicates=1000, confidence_bp=9500, figures=figures, counts={})
