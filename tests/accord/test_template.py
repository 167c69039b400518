from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

from foedus.accord import findings, load_accord, read_accord
from foedus.accord.fields import clauses
from foedus.core.yaml import read_yaml
from foedus.records.accord import Accord
from samples import coordinator_keys, keys, sample_accord

VECTORS = Path(__file__).parents[1] / "vectors" / "accord.json"
OTHER_CHOICES = (
    "members[].keys",
    "coordinator.keys",
    "aggregation.outer[adam]",
    "aggregation.outer[yogi]",
    "aggregation.late[next-round]",
    "simulated",
    "task[token",
)
NAMES = ("template.yaml", "template.zh.yaml")


def text_of(name: str) -> str:
    return (files("foedus.accord") / name).read_text(encoding="utf-8")


def read(name: str) -> Accord:
    joined = {member: keys(member) for member in ("bank-a", "bank-b", "bank-c")}
    return read_accord(text_of(name), source=name, joined=joined, coordinator_keys=coordinator_keys())


def test_the_samples_can_be_signed_and_mean_the_same_in_both_languages() -> None:
    english, chinese = map(read, NAMES)
    assert english.model_copy(update={"purpose": chinese.purpose}) == chinese
    assert {one.level for one in findings(english)} == {"note"}


def test_the_samples_show_every_clause_and_write_the_defaults() -> None:
    for name in NAMES:
        text = text_of(name)
        for clause in clauses():
            assert clause.path.startswith(OTHER_CHOICES) or re.search(rf"\b{clause.name}\b", text), clause.path
    shown = read_yaml(text_of("template.yaml"), source="template.yaml").value
    accord = read("template.yaml")
    assert set(shown) | {"simulated"} == set(Accord.model_fields)
    assert accord.training.craft == sample_accord().training.craft
    assert accord.aggregation == sample_accord().aggregation


def test_every_remark_of_the_english_sample_has_its_chinese_one() -> None:
    english, chinese = (text_of(name).splitlines() for name in NAMES)
    assert len(english) == len(chinese)
    for one, other in zip(english, chinese, strict=True):
        assert ("#" in one) == ("#" in other)
        assert ("EDIT" in one) == ("EDIT" in other)


def test_the_bytes_and_the_id_of_an_accord_never_change() -> None:
    for vector in json.loads(VECTORS.read_text(encoding="utf-8")):
        data = vector["canonical"].encode()
        accord = load_accord(data)
        assert accord.to_bytes() == data
        assert accord.digest == vector["id"]
    assert sample_accord().digest in {vector["id"] for vector in json.loads(VECTORS.read_text(encoding="utf-8"))}
