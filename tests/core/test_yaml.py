from __future__ import annotations

import pytest

from foedus.core.errors import CallerError
from foedus.core.messages import LANGUAGES, error_text
from foedus.core.yaml import read_yaml

TEXT = """\
name: no
count: 017
quoted: ""
labels:
  "1": good
  0: bad
list:
  - a
  - {b: c}
"""


def test_scalars_stay_the_text_that_was_written() -> None:
    tree = read_yaml(TEXT, source="data.yaml")
    assert tree.value == {
        "name": "no",
        "count": "017",
        "quoted": "",
        "labels": {"1": "good", "0": "bad"},
        "list": ["a", {"b": "c"}],
    }


def test_every_value_knows_its_line() -> None:
    tree = read_yaml(TEXT, source="data.yaml")
    assert tree.line(("count",)) == 2
    assert tree.line(("labels", "0")) == 6
    assert tree.line(("list", 1, "b")) == 9
    assert tree.line(("list", 1, "absent")) == 9
    assert tree.line(("absent",)) == 1


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: 1\nb: [1, 2", "yaml.malformed", 2),
        ("a: 1\nb: \x07", "yaml.malformed", 2),
        ("a: 1\n\tb: 2", "yaml.malformed", 2),
        ("a: 1\na: 2", "yaml.duplicate-key", 2),
        ("a: &x 1", "yaml.forbidden", 1),
        ("a: 1\nb: *a", "yaml.forbidden", 2),
        ("*a : 1", "yaml.forbidden", 1),
        ("a: !!int 1", "yaml.forbidden", 1),
        ("a: !python/object:os.system {}", "yaml.forbidden", 1),
        ("%TAG ! tag:x,2000:\n---\na: 1", "yaml.forbidden", 1),
        ("a: 1\n<<: {b: 2}", "yaml.forbidden", 2),
        ("? [a]\n: 1", "yaml.forbidden", 1),
        ("a: 1\n---\nb: 2", "yaml.several-documents", 2),
        ("a: 1\nb:\n", "yaml.empty-value", 2),
        ("a: " + "[" * 60 + "]" * 60, "yaml.too-deep", 1),
    ],
)
def test_what_means_more_than_one_thing_is_refused_with_its_line(text: str, code: str, line: int) -> None:
    with pytest.raises(CallerError) as caught:
        read_yaml(text, source="data.yaml")
    assert caught.value.code == code
    assert caught.value.fields["line"] == line
    for lang in LANGUAGES:
        assert "data.yaml" in error_text(caught.value, lang=lang).expected


@pytest.mark.parametrize("text", ["", "# only a remark\n", "---\n", "\n\n"])
def test_an_empty_document_is_refused(text: str) -> None:
    with pytest.raises(CallerError) as caught:
        read_yaml(text, source="data.yaml")
    assert caught.value.code == "yaml.empty"
