"""Low-rank adapters, combined exactly.

The mean of A times the mean of B is not the mean of the products. Two ways are exact:

- *alternate*: one half is trained and averaged while all members share the other, so Σ wᵢ·Bᵢ·A = (Σ wᵢ·Bᵢ)·A;
- *stack*: the sum Σ wᵢ·sᵢ·Bᵢ·Aᵢ is formed as a dense delta of the target matrix; members may have ranks of their own.

The halves of the adapter on `layer.weight` are named `layer.lora_A.weight` (rank, in) and `layer.lora_B.weight`
(out, rank); every other name belongs to the head and is averaged as it is.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from foedus.core.errors import CallerError
from foedus.records.plan import Half
from foedus.state import State, norm, product, truncate

__all__ = ["Adapter", "WireBytes", "adapter_of", "dense", "half_names", "wire_bytes"]

_A, _B = ".lora_A.weight", ".lora_B.weight"
_FLOAT32 = 4


class Adapter(NamedTuple):
    """An adapter in place of a dense delta: `residual_norm` of `delta_norm` (Frobenius, target matrices) is lost."""

    state: State
    residual_norm: float
    delta_norm: float


class WireBytes(NamedTuple):
    """What one member receives and sends in one round, in bytes of float32 tensors (headers come on top)."""

    down: int
    up: int


def half_names(names: Iterable[str], half: Half) -> tuple[str, ...]:
    """The names that a round trains, sorted: `B` all but the A halves, `A` all but the B halves, `all` every one."""
    resting = {"A": _B, "B": _A, "all": None}[half]
    return tuple(sorted(name for name in names if resting is None or not name.endswith(resting)))


def dense(factors: State, *, alpha: int) -> State:
    """Every adapter pair as its product (alpha / rank)·B·A, named as the target matrix; other names as they are.

    The rank is that of each pair, so members of different ranks give deltas of equal shape. For `stack`, this is a
    member's update: its fresh adapter starts at B = 0. For `alternate`, it folds the state's adapter for a release.

    Raises:
        CallerError: `combine.half-missing`, `state.not-factors`.
    """
    result: State = {}
    for name in sorted(factors):
        if name.endswith(_A):
            layer = name.removesuffix(_A)
            if layer + _B not in factors:
                raise CallerError("combine.half-missing", name=layer + _B)
            a = factors[name]
            result[layer + ".weight"] = product(factors[layer + _B], a, scale=alpha / a.shape[0])
        elif name.endswith(_B):
            if name.removesuffix(_B) + _A not in factors:
                raise CallerError("combine.half-missing", name=name.removesuffix(_B) + _A)
        else:
            result[name] = factors[name]
    return result


def adapter_of(delta: State, rank: int, *, targets: Collection[str]) -> Adapter:
    """The adapter of one rank nearest to a dense delta, for a release; names outside `targets` are kept as they are.

    The factors carry the whole delta: load them with `lora_alpha` equal to `rank`, so that the scale is 1. A residual
    of 0 up to rounding means that nothing is lost.

    Raises:
        CallerError: `combine.unknown-name`, `state.bad-rank`, `state.not-factors`.
    """
    if unknown := sorted(set(targets) - delta.keys()):
        raise CallerError("combine.unknown-name", name=unknown[0], count=len(unknown))
    state = {name: tensor for name, tensor in delta.items() if name not in targets}
    residuals = []
    for name in sorted(targets):
        layer = name.removesuffix(".weight")
        state[layer + _B], state[layer + _A], residual = truncate(delta[name], rank)
        residuals.append(residual)
    whole = norm({name: delta[name] for name in targets})
    return Adapter(dict(sorted(state.items())), math.hypot(*residuals), whole)


def wire_bytes(
    shapes: Mapping[str, tuple[int, ...]], *, way: Literal["alternate", "stack"], half: Half = "all"
) -> WireBytes:
    """What a round costs one member, from the shapes of its adapter halves and head.

    `alternate`: down the adapter and the head, up the half that the round trains and the head. `stack`: down the dense
    target matrices and the head, up both halves of the member's own rank and the head.
    """
    size = {name: _FLOAT32 * math.prod(shape) for name, shape in shapes.items()}
    up = sum(size[name] for name in half_names(shapes, half))
    if way == "alternate":
        return WireBytes(down=sum(size.values()), up=up)
    head = sum(size[name] for name in size if not name.endswith((_A, _B)))
    matrices = sum(
        _FLOAT32 * shapes[name.removesuffix(_A) + _B][0] * shape[1]
        for name, shape in shapes.items()
        if name.endswith(_A)
    )
    return WireBytes(down=head + matrices, up=sum(size.values()))
