"""From an accord to the plan of a run; and every reason why a run of it could not work, found before anyone signs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

from foedus.accord.finding import Finding, problem, warning
from foedus.records import terms
from foedus.records.accord import Accord
from foedus.records.draw import eligible, sample_size
from foedus.records.plan import Half, Plan
from foedus.records.tune import Trial, tuned

__all__ = ["MANDATORY_GATES", "compile_plan", "halves", "plan_findings"]

MANDATORY_GATES = ("artefact", "utility")
"""Without these a release could carry code or know nothing, so that no accord may leave them out."""

NO_PIN = "sha256:" + "0" * 64
"""What a sample writes where a digest belongs."""

_BASES = ("package:", "folder:", "hub:")


def compile_plan(accord: Accord, *, trial: Trial | None = None) -> Plan:
    """What a run under this accord does; a run that is a `trial` of the search has its settings, no credit and no
    early stopping.

    Raises:
        CallerError: `plan.…`, the first reason why it cannot work; `plan_findings` gives all.
    """
    for finding in plan_findings(accord):
        if finding.level == "problem":
            raise finding.error
    order = halves(accord)
    return Plan(
        accord=accord.digest,
        seed=accord.training.seed,
        members=accord.contributors,
        task=accord.task,
        method=accord.training.method,
        craft=tuned(accord.training.craft, "training.craft", trial),
        combine=accord.aggregation.combine,
        outer=tuned(accord.aggregation.outer, "aggregation.outer", trial),
        credit=terms.NoCredit() if trial else accord.credit,
        early_stopping=None if trial else accord.training.early_stopping,
        halves=order[: accord.tune.rounds] if trial and accord.tune else order,
        min_members=accord.aggregation.min_members,
        deadline_seconds=accord.aggregation.deadline_seconds,
        smallest_cell=accord.data.smallest_cell,
        replicates=accord.evaluation.replicates,
        confidence_bp=accord.evaluation.confidence_bp,
        participation=accord.aggregation.participation,
        barred=frozenset(accord.contributors) - set(eligible(accord, accord.contributors)),
        late=accord.aggregation.late,
        examines_all=any(isinstance(gate, terms.NoHarm) for gate in accord.gates),
        trial=trial,
    )


def halves(accord: Accord) -> tuple[Half, ...]:
    """What each round trains. Alternating LoRA begins with B: B is zero, so that A alone would learn nothing."""
    order: tuple[Half, Half] = ("B", "A") if _alternates(accord) else ("all", "all")
    return tuple(order[number % 2] for number in range(accord.training.rounds))


def plan_findings(accord: Accord) -> Iterator[Finding]:
    """Every problem and warning about the run itself, in the order of the accord's clauses."""
    rules: tuple[Callable[[Accord], Iterable[Finding]], ...] = (
        _purpose,
        _validity,
        _members,
        _base,
        _task,
        _grants,
        _method,
        _craft,
        _early_stopping,
        _combine,
        _participation,
        _late,
        _outer,
        _credit,
        _evaluation,
        _tune,
        _gates,
        _release,
        _serving,
        _monitoring,
    )
    for rule in rules:
        yield from rule(accord)


def _alternates(accord: Accord) -> bool:
    method = accord.training.method
    return isinstance(method, terms.Lora) and method.combine == "alternate"


def _purpose(accord: Accord) -> Iterator[Finding]:
    if both := set(accord.purpose.uses) & set(accord.purpose.prohibited):
        yield problem("plan.use-prohibited", uses=_listed(both))


def _validity(accord: Accord) -> Iterator[Finding]:
    if accord.valid.first > accord.valid.last:
        yield problem("plan.validity-reversed", first=accord.valid.first, last=accord.valid.last)


def _members(accord: Accord) -> Iterator[Finding]:
    count, needed = len(accord.contributors), accord.aggregation.min_members
    if not count:
        yield problem("plan.no-contributor")
    elif needed > count:
        yield problem("plan.min-members", needed=needed, count=count)
    elif needed == 1:
        yield warning("plan.one-is-enough")


def _base(accord: Accord) -> Iterator[Finding]:
    source = accord.base.source
    kind, _, rest = source.partition(":")
    if not source.startswith(_BASES) or not rest or (kind == "hub" and not all(rest.partition("@"))):
        yield problem("plan.base-source", source=source)
    if accord.base.pin == NO_PIN:
        yield problem("plan.no-pin", source=source)


def _task(accord: Accord) -> Iterator[Finding]:
    if twice := _repeated(accord.task.labels):
        yield problem("plan.label-twice", labels=_listed(twice))
    if isinstance(accord.task, terms.TokenClassification) and "O" in accord.task.labels:
        yield problem("plan.label-o")


def _grants(accord: Accord) -> Iterator[Finding]:
    grants = {grant.member: grant for grant in accord.data.grants}
    names = () if accord.simulated else accord.contributors  # their rows are public
    if strangers := set(grants) - set(names):
        yield problem("plan.grant-of-stranger", members=_listed(strangers))
    if without := set(names) - set(grants):
        yield problem("plan.no-grant", members=_listed(without))
    for name in names:
        if (grant := grants.get(name)) is None:
            continue
        if uncovered := set(accord.purpose.uses) - set(grant.uses):
            yield problem("plan.grant-too-narrow", member=name, uses=_listed(uncovered))
        if grant.until < accord.valid.first:
            yield problem("plan.grant-ended", member=name, until=grant.until, first=accord.valid.first)
        elif grant.until < accord.valid.last:
            yield warning("plan.grant-ends-early", member=name, until=grant.until, last=accord.valid.last)
    if accord.data.min_examples < 0:
        yield problem("plan.below-zero", clause="data.min_examples", got=accord.data.min_examples)


def _method(accord: Accord) -> Iterator[Finding]:
    method, rounds = accord.training.method, accord.training.rounds
    if not isinstance(method, terms.Lora):
        return
    if not method.targets:
        yield problem("plan.no-targets")
    if not 0 <= Fraction(method.dropout) < 1:
        yield problem("plan.out-of-range", clause="training.method.dropout", low="0", high="1", got=method.dropout)
    if method.combine == "alternate" and rounds == 1:
        yield problem("plan.alternate-one-round")
    if method.combine == "alternate" and method.member_ranks:
        yield problem("plan.ranks-with-alternate")
    ranked = [one.member for one in method.member_ranks]
    if strangers := set(ranked) - set(accord.contributors):
        yield problem("plan.rank-of-stranger", members=_listed(strangers))
    if twice := _repeated(ranked):
        yield problem("plan.rank-twice", members=_listed(twice))


def _craft(accord: Accord) -> Iterator[Finding]:
    if accord.training.craft.warmup_bp >= 10_000:
        yield problem("plan.warmup-whole")


def _early_stopping(accord: Accord) -> Iterator[Finding]:
    if accord.simulated and accord.training.early_stopping is not None:
        yield problem("plan.simulated-stopping")
    stopping = accord.training.early_stopping
    if stopping is None:
        return
    comparisons = accord.training.rounds // (2 if _alternates(accord) else 1)
    if stopping.patience > comparisons:
        yield problem("plan.patience-too-long", patience=stopping.patience, comparisons=comparisons)
    if Fraction(stopping.min_delta) < 0:
        yield problem("plan.below-zero", clause="training.early_stopping.min_delta", got=stopping.min_delta)


def _combine(accord: Accord) -> Iterator[Finding]:
    combine, least = accord.aggregation.combine, accord.aggregation.min_members
    if combine.weights == "examples" and combine.cap_bp == 0:
        yield problem("plan.cap-zero")
    elif combine.weights == "examples" and combine.cap_bp * least < 10_000:
        needed = -(-10_000 // combine.cap_bp)
        yield problem("plan.cap-cannot-hold", cap=_percent(combine.cap_bp), least=least, needed=needed)
    if (days := accord.aggregation.keep_replies_days) < 0:
        yield problem("plan.below-zero", clause="aggregation.keep_replies_days", got=days)


def _participation(accord: Accord) -> Iterator[Finding]:
    rule, least = accord.aggregation.participation, accord.aggregation.min_members
    if rule.sample is not None and rule.share_bp is not None:
        yield problem("plan.sample-and-share", sample=rule.sample, share=_percent(rule.share_bp))
    if strangers := set(rule.members) - set(accord.contributors):
        yield problem("plan.participant-is-no-contributor", members=_listed(strangers))
    if unknown := set(rule.tags) - {tag for member in accord.members for tag in member.tags}:
        yield problem("plan.unknown-tag", tags=_listed(unknown))
    count = len(eligible(accord, accord.contributors))
    asked = sample_size(rule, count)
    if rule.sample is not None and rule.sample > count:
        yield problem("plan.sample-too-large", sample=rule.sample, count=count)
    elif asked < least <= len(accord.contributors):
        yield problem("plan.too-few-asked", asked=asked, count=count, needed=least)
    elif asked == least < count:
        yield warning("plan.no-spare", asked=asked)


def _late(accord: Accord) -> Iterator[Finding]:
    late, order = accord.aggregation.late, halves(accord)
    if not isinstance(late, terms.NextRound):
        return
    if not 0 < Fraction(late.discount) <= 1:
        yield problem("plan.discount", got=late.discount)
    if not any(half in order[at + 1 : at + 1 + late.max_rounds] for at, half in enumerate(order)):
        yield problem("plan.late-never-used", got=late.max_rounds, rounds=len(order), pair=len(set(order)))


def _outer(accord: Accord) -> Iterator[Finding]:
    outer = accord.aggregation.outer
    for name in ("learning_rate", "tau"):
        if Fraction(value := getattr(outer, name, "1")) <= 0:
            yield problem("plan.not-above-zero", clause=f"aggregation.outer.{name}", got=value)
    for name in ("momentum", "beta1", "beta2"):
        if not 0 <= Fraction(value := getattr(outer, name, "0")) < 1:
            yield problem("plan.out-of-range", clause=f"aggregation.outer.{name}", low="0", high="1", got=value)
    times = Counter(halves(accord))
    if isinstance(outer, terms.Nesterov) and min(times.values()) < 2:
        yield warning("plan.momentum-unused", rounds=accord.training.rounds)


def _credit(accord: Accord) -> Iterator[Finding]:
    count = len(accord.contributors)
    if accord.simulated and not isinstance(accord.credit, terms.NoCredit):
        yield problem("plan.simulated-credit", credit=accord.credit.name)
    if accord.simulated and not isinstance(accord.aggregation.late, terms.Drop):
        yield problem("plan.simulated-late", late=accord.aggregation.late.name)
    if accord.simulated and accord.simulated.examples < accord.data.smallest_cell:
        yield problem("plan.simulated-examples", examples=accord.simulated.examples, smallest=accord.data.smallest_cell)
    if isinstance(accord.credit, terms.Reconstruct) and count > terms.Reconstruct.max_members:
        yield problem("plan.too-many-to-reconstruct", count=count, limit=terms.Reconstruct.max_members)
    if isinstance(accord.credit, terms.AumannShapley) and not accord.aggregation.outer.linear:
        yield warning("plan.preconditioner-given", outer=accord.aggregation.outer.name)


def _evaluation(accord: Accord) -> Iterator[Finding]:
    replicates, level = accord.evaluation.replicates, accord.evaluation.confidence_bp
    needed = -(-20_000 // (10_000 - level))
    if replicates < needed:
        yield problem("plan.too-few-replicates", replicates=replicates, needed=needed, level=_percent(level))


def _tune(accord: Accord) -> Iterator[Finding]:
    if (tune := accord.tune) is None:
        return
    if tune.rounds is not None and tune.rounds > accord.training.rounds:
        yield problem("plan.tune-rounds", got=tune.rounds, rounds=accord.training.rounds)
    parts = {"training.craft": accord.training.craft, "aggregation.outer": accord.aggregation.outer}
    for one in tune.space:
        where, _, name = one.path.rpartition(".")
        if name not in type(parts[where]).model_fields:
            yield problem("plan.tune-nothing", path=one.path, outer=accord.aggregation.outer.name)
            continue
        for value in one.choices or (one.low, one.high):
            try:
                made = tuned(parts[where], where, Trial(number=1, settings={one.path: str(value)}))
                fits = not isinstance(made, terms.Nesterov) or 0 <= Fraction(made.momentum) < 1
            except ValueError:
                fits = False
            if not fits:
                yield problem("plan.tune-value", path=one.path, got=value)


def _gates(accord: Accord) -> Iterator[Finding]:
    names = [gate.name for gate in accord.gates]
    if absent := [name for name in MANDATORY_GATES if name not in names]:
        yield problem("plan.gate-missing", gates=", ".join(absent))
    for gate in accord.gates:
        if isinstance(gate, terms.Artefact):
            continue
        if gate.metric not in accord.task.metrics:
            known = ", ".join(accord.task.metrics)
            yield problem("plan.unknown-metric", gate=gate.name, metric=gate.metric, task=accord.task.name, known=known)
        clause, value = ("minimum", gate.minimum) if isinstance(gate, terms.Utility) else ("margin", gate.margin)
        if not 0 <= Fraction(value) < 1:
            yield problem("plan.out-of-range", clause=f"gates.{gate.name}.{clause}", low="0", high="1", got=value)


def _release(accord: Accord) -> Iterator[Finding]:
    release, method = accord.release, accord.training.method
    stacked = isinstance(method, terms.Lora) and method.combine == "stack"
    if release.form == "adapter" and not isinstance(method, terms.Lora):
        yield problem("plan.adapter-without-lora", method=method.name)
    if release.form == "adapter" and not accord.base.source.startswith("hub:"):
        yield problem("plan.adapter-base", source=accord.base.source)
    if release.rank is not None and not (stacked and release.form == "adapter"):
        yield problem("plan.rank-unused", rank=release.rank)
    if release.rank is None and stacked and release.form == "adapter":
        yield problem("plan.rank-missing")


def _serving(accord: Accord) -> Iterator[Finding]:
    if (serving := accord.serving) is None:
        return
    if serving.keep_texts_days < 0:
        yield problem("plan.below-zero", clause="serving.keep_texts_days", got=serving.keep_texts_days)
    if serving.review_below_bp and not serving.keep_texts_days:
        yield problem("plan.review-without-texts", share=_percent(serving.review_below_bp))
    if serving.refresh_seconds > accord.release.fresh_days * 86_400:
        days = accord.release.fresh_days
        yield problem("plan.refresh-too-seldom", got=serving.refresh_seconds, days=days)


def _monitoring(accord: Accord) -> Iterator[Finding]:
    if (watch := accord.monitoring) is None:
        return
    parties = {accord.coordinator.name, *(member.name for member in accord.members)}
    if unknown := set(watch.proposers) - parties:
        yield problem("plan.unknown-proposer", names=_listed(unknown))
    if not 0 < Fraction(watch.false_alarms) < 1:
        got = watch.false_alarms
        yield problem("plan.out-of-range", clause="monitoring.false_alarms", low="0", high="1", got=got)
    if Fraction(watch.psi) < 0:
        yield problem("plan.below-zero", clause="monitoring.psi", got=watch.psi)
    if min(watch.window, watch.reference) < watch.smallest_cell:
        sizes = {"window": watch.window, "reference": watch.reference}
        yield problem("plan.window-too-small", smallest=watch.smallest_cell, **sizes)


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _percent(basis_points: int) -> str:
    return f"{basis_points / 100:g} %"
