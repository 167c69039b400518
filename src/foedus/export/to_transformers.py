"""A folder for `from_pretrained`: the release's own files, or an adapter folded into its base model.

W + (alpha / rank) · B · A, term by term and rounded once, as a folded release has it: the same bytes on every machine.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from foedus.combine.lora import dense
from foedus.core.files import read_bytes, write_atomic
from foedus.export.source import Source, apart, load, logits_of, probes
from foedus.state import State, from_bytes, to_bytes

__all__ = ["make", "write"]

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "labels.json")
_PREFIX = "base_model.model."


def make(source: Source, folder: Path) -> float:
    """Write the folder; the difference of its logits from the release's."""
    write(source, folder)
    ours, theirs = load(source.model, source.accord), load(folder, source.accord)
    batches = probes(ours, source.accord)
    return apart(batches, [logits_of(ours, one) for one in batches], [logits_of(theirs, one) for one in batches])


def write(source: Source, folder: Path) -> None:
    """Write the folder, uncompared."""
    if not source.is_adapter:
        shutil.copytree(source.model, folder, dirs_exist_ok=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.model.iterdir():
        if path.name not in (*ADAPTER_FILES, "README.md"):  # the card speaks of an adapter
            shutil.copyfile(path, folder / path.name)
    net = load(source.model, source.accord).net.unload()
    write_atomic(folder / "model.safetensors", to_bytes(_folded(source, net.state_dict(), tied=_tied(net))))
    config = net.config.to_dict() | {"architectures": [type(net).__name__], "dtype": "float32"}
    config.pop("_name_or_path", None)
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomic(folder / "config.json", text.encode())


def _folded(source: Source, base: State, *, tied: frozenset[str]) -> State:
    """Every weight: the base's, the head's as it was trained, and the target matrices with their products."""
    alpha = json.loads(read_bytes(source.model / "adapter_config.json"))["lora_alpha"]
    saved = from_bytes(read_bytes(source.model / "adapter_model.safetensors", limit_bytes=1 << 36))
    adapter = {name.removeprefix(_PREFIX): tensor for name, tensor in saved.items()}
    products = dense({name: t for name, t in adapter.items() if ".lora_" in name}, alpha=alpha)
    head = {name: tensor for name, tensor in adapter.items() if ".lora_" not in name}
    out = {name: tensor for name, tensor in base.items() if name not in tied}
    out |= {name: out[name] + product for name, product in products.items()}
    return {**out, **{name: tensor for name, tensor in head.items() if name in out}}


def _tied(net: object) -> frozenset[str]:
    """Names whose tensor is another name's: saved once."""
    keys = getattr(net, "_tied_weights_keys", None) or {}
    return frozenset(keys) if isinstance(keys, dict) else frozenset()
