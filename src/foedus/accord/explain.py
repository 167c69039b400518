"""An accord in plain words, for a reader who is no engineer, in the language in force. Every clause is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, assert_never

from foedus.core.messages import catalogue, language, say
from foedus.records import terms
from foedus.records.accord import Accord, Participation, needed
from foedus.records.base import decimal
from foedus.records.serving import Serving

__all__ = ["explain", "sentences"]


def explain(accord: Accord) -> str:
    """The whole accord in sentences: a heading and a list for each part."""
    lines = [say("accord.explain.title", name=accord.name, version=accord.version)]
    for name, said in sentences(accord).items():
        lines += ["", say(f"accord.heading.{name}"), *(f"- {sentence}" for sentence in said)]
    return "\n".join(lines) + "\n"


def sentences(accord: Accord) -> dict[str, tuple[str, ...]]:
    """What each part of the accord says, by the part's name (a key of `accord.heading`)."""
    parts: tuple[tuple[str, Callable[[Accord], Iterator[str]]], ...] = (
        ("purpose", _purpose),
        ("parties", _parties),
        ("agreeing", _agreeing),
        ("model", _model),
        ("data", _data),
        ("training", _training),
        ("combining", _combining),
        ("credit", _credit),
        ("measuring", _measuring),
        ("tuning", _tuning),
        ("gates", _gates),
        ("release", _release),
        ("serving", _serving),
        ("monitoring", _monitoring),
        ("ledger", _ledger),
    )
    return {name: tuple(part(accord)) for name, part in parts}


def _purpose(accord: Accord) -> Iterator[str]:
    purpose = accord.purpose
    yield purpose.summary
    yield _say("uses", uses=_list(purpose.uses))
    yield _say("prohibited", uses=_list(purpose.prohibited)) if purpose.prohibited else _say("prohibited-none")
    yield _say("valid", first=accord.valid.first, last=accord.valid.last)


def _parties(accord: Accord) -> Iterator[str]:
    keys = accord.coordinator.keys
    yield _say("coordinator", name=accord.coordinator.name, act=_key(keys.act), log=_key(keys.log))
    for member in accord.members:
        roles = _list(say(f"accord.role.{role}") for role in member.roles)
        held = member.keys
        yield _say(
            "member",
            name=member.name,
            roles=roles,
            act=_key(held.act),
            witness=_key(held.witness),
            release=_key(held.release),
        )
        if member.tags:
            yield _say("tags", member=member.name, tags=_list(member.tags))
    if accord.simulated:
        yield _say("simulated", count=accord.simulated.count, examples=accord.simulated.examples)
    yield _say(f"custody-{accord.custody}")


def _agreeing(accord: Accord) -> Iterator[str]:
    yield _say("ratification", **_count(accord.ratification, accord))
    yield _say("amendment", **_count(accord.amendment.quorum, accord))
    if accord.amendment.veto:
        yield _say("amendment-veto", names=_list(accord.amendment.veto))
    yield _say("prev", version=accord.version, prev=accord.prev) if accord.prev else _say("first")
    yield _say("rules", format=accord.accord, rules=accord.rules)


def _model(accord: Accord) -> Iterator[str]:
    base, task = accord.base, accord.task
    yield _say("base", source=base.source, licence=base.licence)
    yield _say("pin", pin=base.pin)
    if isinstance(task, terms.TextClassification):
        yield _say("task-text", count=len(task.labels), labels=_list(task.labels))
    else:
        yield _say("task-tokens", labels=_list(task.labels), level=say(f"accord.level.{task.level}"))
    yield _say("max-tokens", tokens=task.max_tokens)


def _data(accord: Accord) -> Iterator[str]:
    data = accord.data
    for grant in data.grants:
        yield _say("grant", member=grant.member, uses=_list(grant.uses), until=grant.until)
    yield _say("licences", texts=_list(data.licences)) if data.licences else _say("licences-any")
    yield _say("consents", texts=_list(data.consents)) if data.consents else _say("consents-any")
    yield _say("min-examples", count=data.min_examples)
    yield _say("smallest-cell", count=data.smallest_cell)


def _training(accord: Accord) -> Iterator[str]:
    training, craft = accord.training, accord.training.craft
    yield _say("rounds", rounds=training.rounds)
    yield from _method(training.method)
    yield _say("batch", size=craft.batch_size, accumulation=craft.accumulation)
    yield _say("epochs", epochs=craft.epochs)
    yield _say("max-steps", steps=craft.max_steps) if craft.max_steps else _say("max-steps-none")
    yield _say("learning-rate", rate=craft.learning_rate, schedule=say(f"accord.schedule.{craft.schedule}"))
    yield _say("head-rate", rate=craft.head_learning_rate) if craft.head_learning_rate else _say("head-rate-same")
    yield _say("warmup", share=_share(craft.warmup_bp))
    yield _say("weight-decay", value=craft.weight_decay)
    yield _say("dropout", value=craft.dropout) if craft.dropout else _say("dropout-base")
    yield _say("clip", norm=craft.clip_norm) if craft.clip_norm else _say("clip-none")
    yield _say(f"batching-{craft.batching}")
    yield _say(f"precision-{craft.precision}")
    if (stopping := training.early_stopping) is None:
        yield _say("stopping-none")
    else:
        yield _say("stopping", patience=stopping.patience, delta=stopping.min_delta)
    yield _say("seed", seed=training.seed)


def _method(method: terms.Method) -> Iterator[str]:
    match method:
        case terms.Full():
            yield _say("method-full")
            yield _layers(method.top_layers)
        case terms.Head():
            yield _say("method-head")
        case terms.Lora():
            yield _say(
                "method-lora",
                rank=method.rank,
                alpha=method.alpha,
                dropout=method.dropout,
                targets=_list(method.targets),
            )
            yield _layers(method.top_layers)
            yield _say(f"lora-{method.combine}")
            for one in method.member_ranks:
                yield _say("member-rank", member=one.member, rank=one.rank)
        case _:
            assert_never(method)


def _layers(count: int | None) -> str:
    return _say("layers", count=count) if count else _say("layers-all")


def _combining(accord: Accord) -> Iterator[str]:
    aggregation = accord.aggregation
    yield _say(f"mean-{aggregation.combine.weights}", cap=_share(aggregation.combine.cap_bp))
    outer = aggregation.outer
    yield _say(f"outer-{outer.name}", **{key: value for key, value in outer.model_dump().items() if key != "name"})
    yield _say(f"visibility-{aggregation.visibility}", coordinator=accord.coordinator.name)
    yield from _asked(aggregation.participation)
    late = aggregation.late
    if isinstance(late, terms.NextRound):
        yield _say("late-next-round", rounds=late.max_rounds, discount=late.discount)
    else:
        yield _say("late-drop")
    yield _say("min-members", count=aggregation.min_members, deadline=aggregation.deadline_seconds)
    yield _say("keep-replies", days=aggregation.keep_replies_days)


def _asked(rule: Participation) -> Iterator[str]:
    if rule.members:
        yield _say("asked-members", names=_list(rule.members))
    if rule.tags:
        yield _say("asked-tags", tags=_list(rule.tags))
    if rule.sample is None and rule.share_bp is None:
        yield _say("asked-all")
    if rule.sample is not None:
        yield _say("asked-sample", count=rule.sample)
    if rule.share_bp is not None:
        yield _say("asked-share", share=_share(rule.share_bp))


def _credit(accord: Accord) -> Iterator[str]:
    credit = accord.credit
    points = credit.points if isinstance(credit, terms.AumannShapley) else 0
    yield _say(f"credit-{credit.name}", points=points)


def _measuring(accord: Accord) -> Iterator[str]:
    measured = accord.evaluation
    yield _say("evaluation", replicates=measured.replicates, level=_share(measured.confidence_bp))


def _tuning(accord: Accord) -> Iterator[str]:
    if (tune := accord.tune) is None:
        yield _say("tune-none")
        return
    yield _say("tune", trials=tune.trials, rounds=tune.rounds or accord.training.rounds)
    for one in tune.space:
        if one.choices:
            yield _say("tune-choices", path=one.path, choices=_list(one.choices))
        else:
            yield _say("tune-range-log" if one.log else "tune-range", path=one.path, low=one.low, high=one.high)
    yield _say(f"tune-pruning-{tune.pruning}")


def _gates(accord: Accord) -> Iterator[str]:
    for gate in accord.gates:
        match gate:
            case terms.Utility():
                yield _say("gate-utility", metric=_metric(gate.metric), minimum=gate.minimum, min_n=gate.min_n)
            case terms.NoHarm():
                yield _say("gate-no-harm", metric=_metric(gate.metric), margin=gate.margin, min_n=gate.min_n)
            case terms.Artefact():
                yield _say("gate-artefact", max_bytes=gate.max_bytes)
            case _:
                assert_never(gate)
    yield _say("inconclusive")


def _release(accord: Accord) -> Iterator[str]:
    release = accord.release
    yield _say("release-quorum", **_count(release.quorum, accord))
    if release.veto:
        yield _say("release-veto", names=_list(release.veto))
    yield _say(f"form-{release.form}")
    if release.rank:
        yield _say("release-rank", rank=release.rank)
    yield _say(f"figures-{release.figures}")
    yield _say("fresh", days=release.fresh_days)
    yield _say("release-licence", licence=release.licence)


def _ledger(accord: Accord) -> Iterator[str]:
    count, faults = len(accord.members), accord.ledger.faults
    yield _say("witnesses", needed=accord.ledger.witnesses_needed(count), count=count, faults=faults)


def _serving(accord: Accord) -> Iterator[str]:
    if accord.serving is None:
        yield _say("serving-none")
    serving = accord.serving or Serving()
    yield _say("serving-refresh", seconds=serving.refresh_seconds)
    yield _say(f"serving-{serving.on_change}")
    if serving.review_below_bp:
        yield _say("serving-review", share=_share(serving.review_below_bp))
    else:
        yield _say("serving-review-none")
    days = serving.keep_texts_days
    yield _say("serving-texts", days=days) if days else _say("serving-texts-none")


def _monitoring(accord: Accord) -> Iterator[str]:
    if (watch := accord.monitoring) is None:
        yield _say("monitoring-none")
        return
    yield _say("monitoring", measures=_list(say(f"accord.measure.{one}") for one in watch.measures))
    yield _say("monitoring-sizes", reference=watch.reference, window=watch.window)
    yield _say("monitoring-level", share=watch.false_alarms, psi=watch.psi, looks=watch.persistence)
    yield _say("monitoring-cell", count=watch.smallest_cell)
    yield _say("monitoring-every", seconds=watch.pause_seconds)
    yield _say("monitoring-proposers", names=_list(watch.proposers)) if watch.proposers else _say("monitoring-anyone")


def _say(name: str, /, **fields: Any) -> str:
    return say(f"accord.explain.{name}", **fields)


def _list(names: Iterator[str] | tuple[str, ...]) -> str:
    return say("accord.explain.comma").join(names)


def _key(text: str) -> str:
    """Enough of a key for two people to compare on the telephone; the accord's id binds all of it."""
    return text.partition(":")[2][-12:]


def _share(basis_points: int) -> str:
    return f"{decimal(Fraction(basis_points, 100))} %"


def _count(quorum: str, accord: Accord) -> dict[str, Any]:
    said = say("accord.explain.quorum-all") if quorum == "all" else quorum
    return {"needed": needed(quorum, len(accord.members)), "count": len(accord.members), "quorum": said}


def _metric(name: str) -> str:
    return str(catalogue("gates", language())["metric"].get(name, name))
