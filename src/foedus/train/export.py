"""The folder that is released: an ordinary Hugging Face folder, or a PEFT adapter.

Folded: every weight of the task's class, base and training together, in one canonical safetensors file. Adapter: the
factors and the head, for a base that everybody can fetch. Both load with the stock libraries and give the same
logits.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from foedus.combine.lora import adapter_of, dense
from foedus.core.errors import CallerError
from foedus.core.files import write_atomic
from foedus.records import terms
from foedus.state import State, to_bytes
from foedus.train.model import A, Model, load

__all__ = ["TOKENIZER_FILES", "export", "folded"]

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt",
    "sentencepiece.bpe.model", "spiece.model", "added_tokens.json",
)  # fmt: skip


def folded(model: Model, state: State) -> State:
    """Every tensor of the task's class with the state folded in: W + (alpha / rank) · B · A, or base + delta.
    Portable.
    """
    load(model, state)
    products = (
        dense(state, alpha=model.method.alpha) if isinstance(model.method, terms.Lora) and not model.stacks else {}
    )
    out: State = {}
    for name, value in model.net.state_dict().items():
        if ".lora_A." in name or ".lora_B." in name:
            continue
        plain = name.replace(".base_layer.", ".")
        added = products.get(plain) if plain not in model.head else None
        out[plain] = value.detach().clone() if added is None else value + added
    return dict(sorted(out.items()))


def export(
    model: Model, state: State, *, base: Path, folder: Path, form: str, rank: int | None = None, source: str = ""
) -> dict[str, float]:
    """Write the model folder; what an adapter made of a dense delta leaves out (Frobenius norms; else empty).

    Raises:
        CallerError: `train.not-an-adapter` when the method has no low-rank part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    residual: dict[str, float] = {}
    if form == "folded":
        tensors = {n: t for n, t in folded(model, state).items() if n not in _tied(model)}
        write_atomic(folder / "model.safetensors", to_bytes(tensors))
        config = model.net.config.to_dict() | {"architectures": [type(model.net).__name__], "dtype": "float32"}
        config.pop("_name_or_path", None)
        write_atomic(folder / "config.json", _json(config))
    else:
        residual = _adapter(model, state, folder=folder, rank=rank, source=source)
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    return residual


def _tied(model: Model) -> frozenset[str]:
    """Names whose tensor is another name's: saved once."""
    keys = getattr(model.net, "_tied_weights_keys", None) or {}
    return frozenset(keys) if isinstance(keys, dict) else frozenset()


def _adapter(model: Model, state: State, *, folder: Path, rank: int | None, source: str) -> dict[str, float]:
    method = model.method
    if not isinstance(method, terms.Lora):
        raise CallerError("train.not-an-adapter", got=method.name)
    rank = (rank or method.rank) if model.stacks else method.rank
    residual = {}
    if model.stacks:
        made = adapter_of(state, rank, targets=model.pinned)
        state, residual = made.state, {"residual_norm": made.residual_norm, "delta_norm": made.delta_norm}
    tensors = {f"base_model.model.{name}": value for name, value in sorted(state.items())}
    stems = sorted({n.removeprefix("base_model.model.").removesuffix(A) for n in tensors if n.endswith(A)})
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "TOKEN_CLS" if "Token" in type(model.net).__name__ else "SEQ_CLS",
        "base_model_name_or_path": source.removeprefix("hub:").partition("@")[0],
        "revision": source.partition("@")[2] or None,
        "r": rank,
        "lora_alpha": rank if model.stacks else method.alpha,  # factors of a stack carry their whole scale
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": stems,
        "modules_to_save": sorted({_module(model, name) for name in model.head}),
        "inference_mode": True,
    }
    write_atomic(folder / "adapter_model.safetensors", to_bytes(tensors))
    write_atomic(folder / "adapter_config.json", _json(config))
    labels = {k: v for k, v in model.net.config.to_dict().items() if k in ("id2label", "label2id")}
    write_atomic(folder / "labels.json", _json(labels))
    return residual


def _module(model: Model, name: str) -> str:
    """The module of the head that peft saves whole: `classifier` or `pooler`."""
    return name.removeprefix(f"{model.net.base_model_prefix}.").split(".", 1)[0]


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
