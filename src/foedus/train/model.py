"""A model of a base, a task and a method, and the named tensors of it that are trained.

The network is the stock transformers class of the task, so that what is released loads with the usual libraries.
Adapters are injected in place (peft), which keeps the base's own names: `….query.lora_A.weight` beside
`….query.weight`.

Names of a state
- full: the trained weights themselves.  - head: the head's.
- lora, alternate: `….lora_A.weight`, `….lora_B.weight` and the head's.
- lora, stack: `….weight` of each target holds the dense delta to the pinned base (float32, zero at the start), and
the head's.

The head is every weight outside the backbone, and the backbone's pooler where the task's class uses it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foedus.core.errors import CallerError
from foedus.core.rng import PublicRng
from foedus.records import terms
from foedus.state import State, check_alike
from foedus.tasks import Task, task_of
from foedus.train.packing import NAME as PACKED

__all__ = [
    "Model",
    "build",
    "finished",
    "fresh_adapter",
    "load",
    "parameter_of",
    "read",
    "shape_of",
    "start_state",
    "uniform",
]

A, B = ".lora_A.weight", ".lora_B.weight"


@dataclass(slots=True)
class Model:
    """A network ready to train.

    `trained`: the parameter of each name that a step may move. `pinned`: the base's own values of the targets that a
    stacked state adds to. `packs`: whether batches go through as one row of real tokens. `depth`: how many of the
    lowest layers are frozen for good, with the embeddings, and computed once for each example. `reads_first`: whether
    the head sees each text through its first token, so that the last layer computes no other to its end.
    """

    net: Any
    tokenizer: Any
    task: Task
    method: terms.Method
    trained: dict[str, nn.Parameter]
    head: frozenset[str]
    pinned: State = field(default_factory=dict)
    layers: nn.ModuleList = field(default_factory=nn.ModuleList)
    packs: bool = False
    depth: int = 0
    reads_first: bool = False

    @property
    def stacks(self) -> bool:
        """Whether a state of this model holds dense deltas that members' products are folded into."""
        return isinstance(self.method, terms.Lora) and self.method.combine == "stack"


def build(
    base: Path,
    task: terms.Task,
    method: terms.Method,
    *,
    dropout: str | None = None,
    rank: int | None = None,
    packs: bool = True,
) -> Model:
    """The model of a base folder. Values that the base does not bring are not drawn here: `start_state` does.

    `packs`: compute no padding, and frozen layers once for each example, where the base is an encoder such as BERT.
    False: every batch is padded and goes through the whole stock network, to compare with.

    Raises:
        CallerError: `train.unreadable-base`, `train.no-such-layer` or `train.too-many-layers`.
    """
    import transformers
    from safetensors import SafetensorError

    kind = task_of(task)
    try:
        config = transformers.AutoConfig.from_pretrained(base, **kind.head)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            if dropout is not None and hasattr(config, name):
                setattr(config, name, float(dropout))
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        quietly = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # likewise
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # the library leaves it so
        try:
            net, report = getattr(transformers, kind.model_class).from_pretrained(
                base, config=config, dtype=torch.float32, attn_implementation="sdpa", output_loading_info=True
            )
        finally:
            transformers.logging.set_verbosity(quietly)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise CallerError("train.unreadable-base", path=str(base), reason=str(error)[:300]) from error
    for parameter in net.parameters():
        parameter.requires_grad = False
    backbone = getattr(net, net.base_model_prefix)
    head = frozenset(
        name
        for name, _ in net.named_parameters()
        if not name.startswith(net.base_model_prefix + ".") or name.startswith(net.base_model_prefix + ".pooler.")
    )
    if lost := sorted(set(report["missing_keys"]) - head):
        raise CallerError("train.unreadable-base", path=str(base), reason=f"no weights for {', '.join(lost[:3])}")
    model = Model(net, tokenizer, kind, method, {}, head)
    _choose(model, backbone, method, rank)
    if not packs or not _pack(model):
        model.depth = 0
    return model


def finished(net: Any, tokenizer: Any, task: Task, method: terms.Method) -> Model:
    """The model of a network that is trained no more, to be asked: its batches are packed where they can be."""
    model = Model(net, tokenizer, task, method, {}, frozenset())
    model.layers, _ = _layers(getattr(net, net.base_model_prefix), net)
    _pack(model)
    return model


def _pack(model: Model) -> bool:
    """Let batches go through as one row of real tokens, where the network is an encoder such as BERT; whether it is."""
    net = model.net
    backbone = getattr(net, net.base_model_prefix)
    if not hasattr(backbone, "embeddings") or not net._supports_attention_backend or net.config.is_decoder:
        return False
    net.set_attn_implementation(PACKED)
    model.packs, model.reads_first = True, model.task.model_class == "AutoModelForSequenceClassification"
    return True


def _choose(model: Model, backbone: Any, method: terms.Method, rank: int | None) -> None:
    """Decide which parameters train, inject adapters, and set aside what never changes below."""
    model.layers, stem = _layers(backbone, model.net)
    count = len(model.layers)
    top = 0 if isinstance(method, terms.Head) else method.top_layers or count
    if top > count:
        raise CallerError("train.too-many-layers", expected=count, got=top)
    names = {name: parameter for name, parameter in model.net.named_parameters() if name in model.head}
    match method:
        case terms.Full():
            above = tuple(f"{stem}.{i}." for i in range(count - top, count))
            everything = method.top_layers is None
            for name, parameter in model.net.named_parameters():
                if everything or name.startswith(above):
                    names[name] = parameter
            model.depth = 0 if everything else count - top
        case terms.Head():
            model.depth = count
        case terms.Lora():
            names |= _inject(model, method, rank or method.rank, range(count - top, count), stem)
            model.depth = count - top
    for parameter in names.values():
        parameter.requires_grad = True
    model.trained = dict(sorted(names.items()))


def _layers(backbone: Any, net: Any) -> tuple[nn.ModuleList, str]:
    """The stack of layers and its name: the longest list of modules in the backbone."""
    found = [(name, module) for name, module in backbone.named_modules() if isinstance(module, nn.ModuleList)]
    if not found:
        raise CallerError("train.no-layers", got=type(backbone).__name__)
    name, module = max(found, key=lambda item: len(item[1]))
    return module, f"{net.base_model_prefix}.{name}"


def _inject(model: Model, method: terms.Lora, rank: int, layers: range, stem: str) -> dict[str, nn.Parameter]:
    """Put adapters on the targets; the trained names are the two factors of each."""
    from peft import LoraConfig, inject_adapter_in_model

    targets = [
        name
        for name, module in model.net.named_modules()
        if isinstance(module, nn.Linear)
        and name.rsplit(".", 1)[-1] in method.targets
        and any(name.startswith(f"{stem}.{i}.") for i in layers)
    ]
    if not targets:
        linear = {n.rsplit(".", 1)[-1] for n, m in model.net.named_modules() if isinstance(m, nn.Linear) and stem in n}
        raise CallerError("train.no-such-layer", got=", ".join(method.targets), known=", ".join(sorted(linear)))
    if method.combine == "stack":
        model.pinned = {f"{name}.weight": _weight(model.net, name).detach().clone() for name in targets}
    config = LoraConfig(
        r=rank, lora_alpha=method.alpha, lora_dropout=float(method.dropout), target_modules=targets, bias="none"
    )
    inject_adapter_in_model(config, model.net)
    return {
        name.replace(".default.weight", ".weight"): parameter
        for name, parameter in model.net.named_parameters()
        if ".lora_A.default." in name or ".lora_B.default." in name
    }


def _weight(net: Any, module: str) -> torch.Tensor:
    weight = net.get_submodule(module).weight
    assert isinstance(weight, torch.Tensor)  # noqa: S101 - a linear layer's weight
    return weight


def uniform(rng: PublicRng, shape: tuple[int, ...], bound: float) -> torch.Tensor:
    """Values in [-bound, bound), float32, from the public stream: the same bits on every machine."""
    count = 1
    for size in shape:
        count *= size
    words = torch.frombuffer(bytearray(rng.bytes(4 * count)), dtype=torch.int32)
    return (words.to(torch.float64) * (bound / 2**31)).to(torch.float32).reshape(shape)


def start_state(model: Model, *, base: Path, rng: PublicRng) -> State:
    """Where a run starts, of a model as built: the base's own values; new weights of the head drawn small; A drawn, B
    zero; dense deltas zero.
    """
    known = _names_in(base)
    state: State = {name: torch.zeros_like(value) for name, value in model.pinned.items()}
    for name, parameter in model.trained.items():
        if model.stacks and name.endswith((A, B)):
            continue
        if name.endswith(A):
            state[name] = uniform(rng, tuple(parameter.shape), parameter.shape[1] ** -0.5)
        elif name.endswith(B) or (name in model.head and name.endswith("bias") and not _carried(name, known, model)):
            state[name] = torch.zeros_like(parameter.data)
        elif name in model.head and not _carried(name, known, model):
            state[name] = uniform(rng, tuple(parameter.shape), 0.02 * 3**0.5)
        else:
            state[name] = parameter.detach().clone()
    return dict(sorted(state.items()))


def _carried(name: str, known: frozenset[str], model: Model) -> bool:
    """Whether the base brings a value for this name, with or without the class's prefix."""
    prefix = str(model.net.base_model_prefix) + "."
    return name in known or name.removeprefix(prefix) in known


def _names_in(base: Path) -> frozenset[str]:
    """The names of the tensors in a folder's safetensors files."""
    names: set[str] = set()
    for path in sorted(base.glob("*.safetensors")):
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            names |= json.loads(file.read(size)).keys()
    return frozenset(names - {"__metadata__"})


def load(model: Model, state: State) -> None:
    """Put a state into the network; the other weights stay. A stacked state moves the targets to base + delta.

    Raises:
        CallerError: `state.names-differ`, `state.shape-differs` or `state.dtype-differs`.
    """
    check_alike(shape_of(model), state)
    with torch.no_grad():
        for name, value in state.items():
            if name in model.pinned:
                parameter_of(model, name).copy_(model.pinned[name] + value)
            else:
                model.trained[name].copy_(value)
        if model.stacks:
            for name, parameter in model.trained.items():
                if name.endswith((A, B)):
                    parameter.zero_()


def parameter_of(model: Model, name: str) -> nn.Parameter:
    """The parameter that a name of the state speaks of: a trained one, or the weight below a stacked adapter."""
    if name not in model.pinned:
        return model.trained[name]
    weight = model.net.get_submodule(name.removesuffix(".weight")).base_layer.weight
    assert isinstance(weight, nn.Parameter)  # noqa: S101 - peft keeps the linear layer it wraps
    return weight


def shape_of(model: Model) -> State:
    """Tensors with the names, shapes and types of this model's state; their values mean nothing."""
    shapes = dict(model.pinned)
    for name, parameter in model.trained.items():
        if not (model.stacks and name.endswith((A, B))):
            shapes[name] = parameter.data
    return shapes


def read(model: Model, names: frozenset[str] | None = None) -> State:
    """Copies of the trained parameters as they are now (all, or these names), the factors of a stacked model among
    them.
    """
    return {
        name: parameter.detach().clone() for name, parameter in model.trained.items() if names is None or name in names
    }


def fresh_adapter(model: Model, rng: PublicRng) -> None:
    """Give a stacked model new factors: A drawn from the public stream, B zero, so that nothing changes before a
    step.
    """
    with torch.no_grad():
        for name, parameter in model.trained.items():
            if name.endswith(A):
                parameter.copy_(uniform(rng, tuple(parameter.shape), parameter.shape[1] ** -0.5))
            elif name.endswith(B):
                parameter.zero_()
