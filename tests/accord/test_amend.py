from __future__ import annotations

import pytest

from accord.drafts import DRAFT
from foedus.accord import amended, difference
from foedus.core.errors import CallerError
from foedus.records.accord import Accord
from samples import keys, sample_accord

OLD = sample_accord()


def amend(text: str, old: Accord = OLD) -> Accord:
    return amended(old, text, source="accord.yaml")


def test_the_next_version_names_the_one_before_and_keeps_its_keys() -> None:
    new = amend(DRAFT.replace("minimum: 0.8", "minimum: 0.9"))
    assert (new.version, new.prev) == (2, OLD.digest)
    assert new.members == OLD.members
    third = amend(DRAFT, new)
    assert (third.version, third.prev) == (3, new.digest)


def test_version_and_prev_in_the_draft_do_not_decide() -> None:
    text = DRAFT.replace("rounds: 4", "rounds: 6") + "version: 1\nprev: null\n"
    assert amend(text) == amend(DRAFT.replace("rounds: 4", "rounds: 6"))


def test_a_new_member_brings_its_keys_and_a_rotated_key_wins() -> None:
    text = DRAFT.replace("  - name: bank-c\n", "  - name: bank-c\n  - {name: judge, roles: [auditor]}\n")
    with pytest.raises(CallerError) as caught:
        amend(text)
    assert (caught.value.code, caught.value.fields["parties"]) == ("accord.keys-missing", "judge")
    new = amended(OLD, text, source="accord.yaml", joined={"judge": keys("judge"), "bank-a": keys("rotated")})
    assert [member.name for member in new.members] == ["bank-a", "bank-b", "bank-c", "judge"]
    assert new.members[0].keys == keys("rotated")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("name: bank-intents", "name: other", "accord.amend-name"),
        ("{name: hub}", "{name: other}", "accord.amend-coordinator"),
        ("name: bank-intents", "custody: one-process\nname: bank-intents", "accord.amend-custody"),
        ("name: bank-intents", "# a remark\nname: bank-intents", "accord.amend-nothing"),
    ],
)
def test_what_an_amendment_may_not_do(old: str, new: str, code: str) -> None:
    with pytest.raises(CallerError) as caught:
        amend(DRAFT.replace(old, new))
    assert caught.value.code == code
    assert str(caught.value)


def test_the_difference_names_each_clause_and_only_those() -> None:
    text = DRAFT.replace("rounds: 4", "rounds: 6").replace("minimum: 0.8", "minimum: 0.9")
    text = text.replace("  - {name: no-harm, metric: accuracy}\n", "")
    changes = {one.path: (one.old, one.new) for one in difference(OLD, amend(text))}
    assert changes["training.rounds"] == (4, 6)
    assert changes["gates[utility].minimum"] == ("0.8", "0.9")
    assert changes["gates[no-harm]"] == (OLD.gates[1].model_dump(), None)
    assert set(changes) == {"version", "prev", "training.rounds", "gates[utility].minimum", "gates[no-harm]"}
    assert difference(OLD, OLD) == []


def test_what_is_new_has_nothing_before() -> None:
    more = sample_accord(("bank-a", "bank-b", "bank-c", "bank-d"))
    changes = {one.path: one for one in difference(OLD, more)}
    assert changes["members[bank-d]"].old is None
    assert changes["data.grants[bank-d]"].new["member"] == "bank-d"
    assert set(changes) == {"members[bank-d]", "data.grants[bank-d]"}
