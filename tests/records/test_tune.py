"""What a search may set, and what a trial is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from foedus.records import terms
from foedus.records.tune import Dimension, Trial, Tune, tuned

RATE = Dimension(path="training.craft.learning_rate", low="0.0001", high="0.1", log=True)
SIZE = Dimension(path="training.craft.batch_size", low="4", high="32")
SCHEDULE = Dimension(path="training.craft.schedule", choices=("linear", "cosine"))


def trial(number=1, **values):
    return Trial(number=number, settings={f"training.craft.{name}": value for name, value in values.items()})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"low": "1"},
        {"low": "2", "high": "1"},
        {"low": "0", "high": "1", "log": True},
        {"low": "0", "high": "1", "choices": ("1",)},
        {"choices": ("1", "1")},
        {"choices": ("1", "2"), "log": True},
    ],
)
def test_a_dimension_is_a_range_or_a_list_and_nothing_between(fields):
    with pytest.raises(ValidationError):
        Dimension(path="training.craft.learning_rate", **fields)


def test_whole_numbers_and_schedules_have_their_own_kind():
    with pytest.raises(ValidationError):
        Dimension(path="training.craft.batch_size", low="1.5", high="3")
    with pytest.raises(ValidationError):
        Dimension(path="training.craft.schedule", low="1", high="2")
    with pytest.raises(ValidationError):
        Dimension(path="training.rounds", low="1", high="2")


@settings(deadline=None, max_examples=50)
@given(st.fractions(min_value=0, max_value=1))
def test_a_value_is_held_when_it_lies_between_and_is_spelt_as_one(value):
    from foedus.records.base import decimal

    text = decimal(value)
    assert RATE.holds(text) is (0.0001 <= float(text) <= 0.1)
    assert not RATE.holds(text + "0")


def test_a_trial_outside_the_space_is_not_permitted():
    search = Tune(trials=3, space=(SIZE, RATE))
    good = trial(batch_size="8", learning_rate="0.01")
    assert search.permits(good)
    for bad in (
        trial(4, batch_size="8", learning_rate="0.01"),
        trial(batch_size="8"),
        trial(batch_size="8", learning_rate="0.2"),
        trial(batch_size="8.5", learning_rate="0.01"),
        trial(batch_size="many", learning_rate="0.01"),
        trial(batch_size="8", learning_rate="0.01", epochs="50"),
        Trial(number=1, settings={"training.rounds": "50", "training.craft.learning_rate": "0.01"}),
    ):
        assert not search.permits(bad)


def test_dimensions_stand_sorted_and_once():
    for space in ((RATE, SIZE), (RATE, RATE)):
        with pytest.raises(ValidationError):
            Tune(space=space)


def test_settings_take_effect_in_their_part_and_nowhere_else():
    one = Trial(
        number=1,
        settings={
            "training.craft.learning_rate": "0.01",
            "training.craft.batch_size": "8",
            "training.craft.schedule": "cosine",
            "aggregation.outer.learning_rate": "0.5",
        },
    )
    craft = tuned(terms.Craft(), "training.craft", one)
    assert craft == terms.Craft(learning_rate="0.01", batch_size=8, schedule="cosine")
    assert tuned(terms.Plain(), "aggregation.outer", one) == terms.Plain(learning_rate="0.5")
    assert tuned(terms.Craft(), "training.craft", None) == terms.Craft()
    with pytest.raises(ValidationError):
        tuned(terms.Craft(), "training.craft", trial(batch_size="0"))
