from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from foedus.accord import in_force_on, permit
from foedus.records import terms
from foedus.records.accord import Accord, Aggregation, DataTerms, Grant, Participation, Training
from foedus.records.asks import Alone, Ask, Evaluate, Gradient, Place, Train, Validate
from foedus.records.tune import Dimension, Trial, Tune
from samples import PIN, sample_accord

TODAY = date(2026, 6, 1)
ACCORD = sample_accord(auditors=("auditor",))
STOPPING = sample_accord(
    training=Training(rounds=4, seed="sample", early_stopping=terms.EarlyStopping(patience=1)), credit=terms.NoCredit()
)
NO_CREDIT = sample_accord(credit=terms.NoCredit())
EXACT = sample_accord(credit=terms.Reconstruct())

TRAIN = Train(start=PIN, half="B")
VALIDATE = Validate(state=PIN)
GRADIENT = Gradient(start=PIN, end=PIN, points=3)
ALONE = Alone(start=PIN, rounds=4)
EVALUATE = Evaluate(start=PIN, state=PIN, replicates=1000)


def ask(accord: Accord, body: Any, *, member: str = "bank-a", number: int = 1) -> Ask:
    return Ask(
        accord=accord.digest,
        place=Place(run="run-1", round=number, number=1),
        member=member,
        roster=PIN,
        not_after="2026-06-02T00:00:00Z",
        body=body,
    )


def answer(accord: Accord, body: Any, *, member: str = "bank-a", number: int = 1, today: date = TODAY) -> str | None:
    return permit(accord, ask(accord, body, member=member, number=number), member=member, today=today)


@pytest.mark.parametrize("body", [TRAIN, VALIDATE, GRADIENT, ALONE, EVALUATE])
def test_what_the_accord_names_may_be_answered(body: Any) -> None:
    assert answer(ACCORD, body) is None


@pytest.mark.parametrize(
    ("accord", "body", "number", "clause"),
    [
        (ACCORD, Train(start=PIN, half="A"), 1, "training.method"),
        (ACCORD, Train(start=PIN, half="all"), 1, "training.method"),
        (ACCORD, Train(start=PIN, half="B"), 2, "training.method"),
        (ACCORD, Train(start=PIN, half="A"), 2, None),
        (ACCORD, TRAIN, 5, "training.rounds"),
        (ACCORD, TRAIN, 0, "training.rounds"),
        (ACCORD, VALIDATE, 0, None),
        (ACCORD, VALIDATE, 5, None),
        (ACCORD, VALIDATE, 6, "training.rounds"),
        (NO_CREDIT, VALIDATE, 1, "credit"),
        (STOPPING, VALIDATE, 1, None),
        (NO_CREDIT, GRADIENT, 1, "credit"),
        (EXACT, GRADIENT, 1, "credit"),
        (EXACT, VALIDATE, 1, None),
        (ACCORD, Gradient(start=PIN, end=PIN, points=4), 1, "credit"),
        (ACCORD, Alone(start=PIN, rounds=3), 4, "evaluation"),
        (ACCORD, Alone(start=PIN, rounds=5), 4, "evaluation"),
        (STOPPING, Alone(start=PIN, rounds=3), 4, None),
        (STOPPING, Alone(start=PIN, rounds=5), 4, "evaluation"),
        (ACCORD, Evaluate(start=PIN, state=PIN, replicates=10), 4, "evaluation.replicates"),
    ],
)
def test_an_ask_that_differs_from_the_accord_is_refused_by_the_clause(
    accord: Accord, body: Any, number: int, clause: str | None
) -> None:
    assert answer(accord, body, number=number) == clause


def test_who_may_not_be_drawn_does_not_train_but_measures() -> None:
    aggregation = Aggregation(outer=terms.Plain(), participation=Participation(members=("bank-b", "bank-c")))
    accord = sample_accord(aggregation=aggregation)
    assert answer(accord, TRAIN) == "aggregation.participation"
    assert answer(accord, TRAIN, member="bank-b") is None
    for body in (VALIDATE, GRADIENT, ALONE, EVALUATE):
        assert answer(accord, body, number=4) is None


def test_an_auditor_measures_and_nothing_else() -> None:
    assert answer(ACCORD, EVALUATE, member="auditor") is None
    for body in (TRAIN, VALIDATE, GRADIENT, ALONE):
        assert answer(ACCORD, body, member="auditor") == "members.roles"


def test_strangers_and_other_accords_are_refused() -> None:
    assert answer(ACCORD, TRAIN, member="bank-x") == "members"
    assert permit(ACCORD, ask(ACCORD, TRAIN, member="bank-a"), member="bank-b", today=TODAY) == "members"
    assert permit(ACCORD, ask(NO_CREDIT, TRAIN), member="bank-a", today=TODAY) == "accord"


@pytest.mark.parametrize(
    ("today", "clause"),
    [
        (date(2025, 12, 31), "valid"),
        (date(2026, 1, 1), None),
        (date(2027, 12, 31), None),
        (date(2028, 1, 1), "valid"),
    ],
)
def test_both_days_of_validity_count(today: date, clause: str | None) -> None:
    assert answer(ACCORD, TRAIN, today=today) == clause
    assert in_force_on(ACCORD, today) == (clause is None)


@pytest.mark.parametrize(
    ("grants", "clause"),
    [
        ((), "data.grants"),
        ((("bank-a", "customer-service", "2026-05-31"),), "data.grants"),
        ((("bank-a", "customer-service", "2026-06-01"),), None),
        ((("bank-a", "research", "2027-12-31"),), "data.grants"),
        ((("bank-b", "customer-service", "2027-12-31"),), "data.grants"),
    ],
)
def test_no_grant_no_answer(grants: tuple[tuple[str, str, str], ...], clause: str | None) -> None:
    data = DataTerms(grants=tuple(Grant(member=m, uses=(use,), until=until) for m, use, until in grants))
    accord = sample_accord(data=data)
    assert answer(accord, TRAIN) == clause
    assert answer(accord, EVALUATE) == clause


RATE = Dimension(path="training.craft.learning_rate", low="0.001", high="0.1")
SEARCHED = sample_accord(tune=Tune(trials=3, rounds=2, space=(RATE,)), credit=terms.NoCredit())


@pytest.mark.parametrize(
    ("accord", "trial", "number", "clause"),
    [
        (SEARCHED, (1, "0.01"), 1, None),
        (SEARCHED, (3, "0.1"), 1, None),
        (SEARCHED, (4, "0.01"), 1, "tune"),
        (SEARCHED, (1, "0.2"), 1, "tune"),
        (SEARCHED, (1, "0.01"), 3, "tune"),
        (ACCORD, (1, "0.01"), 1, "tune"),
    ],
)
def test_a_member_trains_with_no_settings_but_those_of_the_agreed_search(
    accord: Accord, trial: tuple[int, str], number: int, clause: str | None
) -> None:
    which, rate = trial
    tried = Trial(number=which, settings={"training.craft.learning_rate": rate})
    assert answer(accord, Train(start=PIN, half="B", trial=tried), number=number) == clause


def test_a_search_may_measure_the_state_even_where_there_is_no_credit() -> None:
    assert answer(SEARCHED, VALIDATE) is None
    assert answer(NO_CREDIT, VALIDATE) == "credit"
