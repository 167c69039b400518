"""A consumer signs the accord, reads and votes; data it cannot bring, and nothing is asked of it."""

import pytest

from foedus.accord import compile_plan
from foedus.core.errors import VerifyError
from foedus.records.accord import Accord, Member
from samples import keys, sample_accord
from scene import Scene, card


def with_consumer(*roles):
    """The sample accord with the party `shop`, which has these roles."""
    accord = sample_accord()
    members = sorted(
        [*accord.members, Member(name="shop", roles=tuple(sorted(roles)), keys=keys("shop"))], key=lambda one: one.name
    )
    return Accord.from_bytes(accord.model_copy(update={"members": tuple(members)}).to_bytes())


def test_a_consumer_is_a_member_that_votes_and_trains_nothing():
    scene = Scene(with_consumer("consumer")).in_force().with_cards().opened().closed().examined()
    subject = scene.proposed()
    scene.vote(subject, "release", by=("shop",))
    state = scene.fold()
    assert "shop" in {member.name for member in state.members}
    assert state.tally(subject, matter="release").approved == ("shop",)
    assert "shop" not in scene.accord.contributors
    assert compile_plan(scene.accord)


@pytest.mark.parametrize("parts", [("test",), ("train", "validation", "test")])
def test_a_consumer_registers_no_data(parts):
    scene = Scene(with_consumer("consumer")).in_force()
    whole = card("shop", 0 if parts == ("test",) else 100)
    scene.act("shop", whole.model_copy(update={"parts": {part: whole.parts[part] for part in parts}}))
    with pytest.raises(VerifyError, match=r"fold\.against-clause"):
        scene.fold()


def test_a_consumer_that_contributes_as_well_brings_data():
    scene = Scene(with_consumer("consumer", "contributor")).in_force()
    scene.act("shop", card("shop", 100))
    assert "shop" in scene.fold().cards
