"""Steps on a model: AdamW with warm-up, schedule, clipping and accumulation; losses; and the gradient along a path.

Reproducible on one kind of machine with one thread: the order of data comes from the public seed, the optimiser
starts fresh in each round, and schedules count from the round that an ask names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from foedus.combine.value import point_between, quadrature
from foedus.core.errors import RunError
from foedus.core.rng import PublicRng
from foedus.records.terms import Craft
from foedus.state import State
from foedus.train.lower import Prepared, batch_of, forward
from foedus.train.model import Model, load, parameter_of

__all__ = [
    "Span",
    "batches_of",
    "computes_bfloat16",
    "gradient_along",
    "learn",
    "logits_of",
    "mean_loss",
    "steps_a_round",
]

EVAL_BATCH = 64


@dataclass(frozen=True, slots=True)
class Span:
    """Which rounds of a run these steps are: from `first` (counted from 1) to `last` of `rounds`."""

    first: int
    last: int
    rounds: int


def steps_a_round(examples: int, craft: Craft) -> int:
    """Optimiser steps that a member with this many training examples makes in one round."""
    a_pass = math.ceil(math.ceil(examples / craft.batch_size) / craft.accumulation)
    steps = a_pass * craft.epochs
    return steps if craft.max_steps is None else min(steps, craft.max_steps)


def factor(craft: Craft, step: int, total: int) -> float:
    """What the learning rate is multiplied with at a step of the run, counted from 0."""
    warm = total * craft.warmup_bp // 10_000
    if step < warm:
        return (step + 1) / (warm + 1)
    share = (step - warm) / max(1, total - warm)
    return {"constant": 1.0, "linear": 1.0 - share, "cosine": 0.5 * (1.0 + math.cos(math.pi * share))}[craft.schedule]


def learn(
    model: Model, data: Prepared, names: frozenset[str], *, craft: Craft, span: Span, seed: Sequence[str | int]
) -> int:
    """Train these names in place over the rounds of `span`; the number of steps made.

    `seed`: the accord's seed and what else tells this work apart; round numbers are added here, so a round has the
    same order of data whether it is trained alone or in a federation.

    Raises:
        RunError: `train.diverged` when a loss is not a finite number; `train.no-bfloat16` where the accord asks for a
            precision that this processor lacks.
    """
    halved = craft.precision == "bfloat16"
    if halved and not computes_bfloat16():
        raise RunError("train.no-bfloat16", got=torch.backends.cpu.get_cpu_capability())
    optimiser = _optimiser(model, names, craft)
    lengths = [len(example.input_ids) for example in data.encoded]
    a_round = steps_a_round(len(data), craft)
    total, done = a_round * span.rounds, 0
    model.net.train()
    for number in range(span.first, span.last + 1):
        torch.manual_seed(PublicRng(str(seed[0]), *seed[1:], number, "dropout").seed63())
        rng = PublicRng(str(seed[0]), *seed[1:], number, "order")
        for step, batches in enumerate(_steps(lengths, craft, rng, a_round)):
            rate = factor(craft, (number - 1) * a_round + step, total)
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * rate
            examples = sum(map(len, batches))
            for chosen in batches:
                batch = batch_of(model, data, chosen)
                with torch.autocast("cpu", torch.bfloat16, enabled=halved):
                    logits = forward(model, batch)
                loss = model.task.loss(logits.float(), batch).sum() / examples
                if not math.isfinite(float(loss.detach())):
                    raise RunError("train.diverged", round=number, step=step + 1)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            if craft.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_([model.trained[name] for name in sorted(names)], float(craft.clip_norm))
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            done += 1
    return done


def _optimiser(model: Model, names: frozenset[str], craft: Craft) -> torch.optim.AdamW:
    body, head = float(craft.learning_rate), float(craft.head_learning_rate or craft.learning_rate)
    groups = [
        {"params": [model.trained[name] for name in sorted(names - model.head)], "lr": body, "base": body},
        {"params": [model.trained[name] for name in sorted(names & model.head)], "lr": head, "base": head},
    ]
    for name, parameter in model.trained.items():
        parameter.requires_grad = name in names
        parameter.grad = None
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], weight_decay=float(craft.weight_decay), fused=True
    )


def computes_bfloat16() -> bool:
    """Whether this processor has what PyTorch's kernels for bfloat16 need; without it they are slower than float32's.

    On x86 that is AVX-512, on ARM its bfloat16 instructions.
    """
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _steps(lengths: Sequence[int], craft: Craft, rng: PublicRng, steps: int) -> Iterator[list[list[int]]]:
    """The micro-batches of each step: pass after pass over the examples, in a new order each time."""
    made = 0
    while made < steps:
        batches = batches_of(lengths, craft, rng)
        for i in range(0, len(batches), craft.accumulation):
            if made < steps:
                yield batches[i : i + craft.accumulation]
                made += 1


def batches_of(lengths: Sequence[int], craft: Craft, rng: PublicRng) -> list[list[int]]:
    """One pass: every example once, in batches as the accord's clause `batching` has them cut.

    `length-buckets`: the shuffled examples are sorted by length, those of one length staying shuffled, and the batches
    cut from them are shuffled; so a batch holds little padding, and no length comes first.
    """
    order = rng.shuffled(range(len(lengths)))
    if craft.batching == "length-buckets":
        order.sort(key=lambda i: lengths[i])
    batches = [order[i : i + craft.batch_size] for i in range(0, len(order), craft.batch_size)]
    return rng.shuffled(batches) if craft.batching == "length-buckets" else batches


def logits_of(model: Model, data: Prepared) -> Iterator[tuple[list[int], dict[str, torch.Tensor], torch.Tensor]]:
    """Indices, batch and logits of all examples, in order, without dropout or gradient."""
    model.net.eval()
    with torch.no_grad():
        for start in range(0, len(data), EVAL_BATCH):
            chosen = list(range(start, min(start + EVAL_BATCH, len(data))))
            batch = batch_of(model, data, chosen)
            yield chosen, batch, forward(model, batch)


def mean_loss(model: Model, data: Prepared) -> float:
    """The mean of the examples' losses."""
    losses = [model.task.loss(logits, batch).double() for _, batch, logits in logits_of(model, data)]
    return float(torch.cat(losses).mean())


def gradient_along(model: Model, data: Prepared, start: State, end: State, *, points: int) -> State:
    """The mean over the straight path from `start` to `end` of the gradient of the mean loss, for the names that
    differ.

    Gauss–Legendre: exact for gradients that are polynomials of degree 2·points - 1 along the path. float32.
    """
    moved = frozenset(name for name in start if not torch.equal(start[name], end[name]))
    total = {name: torch.zeros_like(start[name], dtype=torch.float64) for name in sorted(moved)}
    for where, weight in quadrature(points):
        load(model, point_between(start, end, where))
        for name, value in _gradient(model, data, moved).items():
            total[name] += value.double() * weight
    return {name: value.float() for name, value in total.items()}


def _gradient(model: Model, data: Prepared, names: frozenset[str]) -> State:
    """The gradient of the mean loss at the model's present values, without dropout."""
    parameters = {name: parameter_of(model, name) for name in sorted(names)}
    for name, parameter in model.trained.items():
        parameter.requires_grad = name in parameters
    for parameter in parameters.values():
        parameter.requires_grad = True
        parameter.grad = None
    model.net.eval()
    for start in range(0, len(data), EVAL_BATCH):
        chosen = list(range(start, min(start + EVAL_BATCH, len(data))))
        batch = batch_of(model, data, chosen)
        loss = model.task.loss(forward(model, batch), batch).sum() / len(data)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    out = {}
    for name, parameter in parameters.items():
        out[name] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach().clone()
        parameter.grad = None
        if name in model.pinned:
            parameter.requires_grad = False
    return out
