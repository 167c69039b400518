"""Search: better settings, found by trials across the federation, as the accord's clause `tune` allows.

A trial is a run of its own: opened with its settings, trained by the members under them, measured by the federation's
validation loss after every round, closed; neither examined nor released. Optuna's sampler proposes what to try; its
only randomness is seeded from the accord, and it is told nothing but what stands in the ledger. So the same accord
over the same data leads to the same trials, and a search that was interrupted goes on with the next: the trials that
are in the ledger are told to a fresh study again, in order.

What is found is a proposal: the accord stays the only configuration, and changes by amendment alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from foedus.core.digest import hex_of, sha256
from foedus.core.errors import CallerError, RunError
from foedus.ledger.consortium import Consortium, RunState
from foedus.records.accord import Accord
from foedus.records.base import decimal
from foedus.records.tune import Dimension, Trial, Tune, whole_numbers
from foedus.run import Prune

if TYPE_CHECKING:
    import optuna

__all__ = ["Carry", "Found", "Tried", "search", "trial_name"]

Carry = Callable[[str, Trial, Prune], RunState]
"""`carry(run, trial, prune)` carries one trial to its close, whatever the engine: `run.run_trial`."""

_STARTUP = 4
"""Trials that are drawn at random before the sampler learns from them, and before any is pruned."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial that is over. `losses` after each of its rounds; `loss` the last, None where none was measured."""

    trial: Trial
    run: str
    outcome: str
    losses: tuple[str, ...]

    @property
    def loss(self) -> str | None:
        """The objective: the federation's validation loss after the last round."""
        return self.losses[-1] if self.losses else None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to. `best` has the lowest loss of the trials that ran to their end; None without such."""

    trials: tuple[Tried, ...]
    best: Tried | None


def trial_name(accord: Accord, number: int) -> str:
    """The name of the run that is this trial."""
    return f"trial-{accord.version}-{number}"


def search(known: Consortium, accord: Accord, carry: Carry) -> Found:
    """Every trial of the accord's search: those in the ledger again, the others carried.

    Raises:
        CallerError: `search.no-clause`; `cli.extra-missing` without Optuna.
        RunError: `search.other-trials` where the ledger holds a trial that this search does not lead to; as
            `run.run_trial`.
    """
    if accord.tune is None:
        raise CallerError("search.no-clause", accord=accord.digest)
    study = _study(accord, accord.tune)
    tried: list[Tried] = []
    for number in range(1, accord.tune.trials + 1):
        asked = study.ask()
        trial = Trial(number=number, settings={one.path: _value(asked, one) for one in accord.tune.space})
        name = trial_name(accord, number)
        tried.append(_carried(known.runs.get(name), name, trial, asked, carry))
        _tell(study, asked, tried[-1])
    done = [one for one in tried if one.outcome == "done" and one.loss is not None]
    return Found(tuple(tried), min(done, key=lambda one: Fraction(one.loss or 0), default=None))


def _study(accord: Accord, tune: Tune) -> optuna.Study:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise CallerError("cli.extra-missing", module="optuna", extra="tune") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = int(hex_of(sha256(f"foedus search\n{accord.training.seed}".encode()))[:8], 16)
    median = tune.pruning == "median"
    pruner = optuna.pruners.MedianPruner(_STARTUP) if median else optuna.pruners.NopPruner()
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP)
    return optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)


def _value(asked: optuna.Trial, one: Dimension) -> str:
    """The value that the sampler proposes for a dimension, as the accord spells it."""
    if one.choices:
        return str(asked.suggest_categorical(one.path, one.choices))
    low, high = Fraction(one.low or 0), Fraction(one.high or 0)
    if whole_numbers(one.path):
        return str(asked.suggest_int(one.path, int(low), int(high), log=one.log))
    value = asked.suggest_float(one.path, float(low), float(high), log=one.log)
    return decimal(min(max(Fraction(decimal(value)), low), high))


def _carried(known: RunState | None, name: str, trial: Trial, asked: optuna.Trial, carry: Carry) -> Tried:
    """The trial as the ledger tells it, carried before where it is not closed there."""
    if known is not None and known.opened.trial != trial:
        raise RunError("search.other-trials", run=name)
    if known is None or known.close is None:

        def prune(number: int, loss: str) -> bool:
            asked.report(float(loss), number)
            return asked.should_prune()

        known = carry(name, trial, prune)
    else:
        for close in known.closes:
            if close.validation_loss is not None:
                asked.report(float(close.validation_loss), close.round)
    losses = tuple(close.validation_loss for close in known.closes if close.validation_loss is not None)
    return Tried(trial, name, known.close.outcome if known.close else "open", losses)


def _tell(study: optuna.Study, asked: optuna.Trial, tried: Tried) -> None:
    import optuna

    states: dict[str, Any] = {"done": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}
    state = states.get(tried.outcome, optuna.trial.TrialState.FAIL)
    study.tell(asked, float(tried.loss) if tried.outcome == "done" and tried.loss else None, state=state)
