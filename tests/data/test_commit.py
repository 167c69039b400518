from __future__ import annotations

import hmac
import json
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.data.commit import commitment, part_salt
from foedus.data.examples import Example

SALT = part_salt(b"k" * 32, name="set", part="train")


def slow_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, as it is written there."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + slow_root(leaves[:k]) + slow_root(leaves[k:])).digest()


def leaf(i: int, example: Example) -> bytes:
    text = json.dumps(
        {"id": example.id, **example.content()}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return sha256(b"\x00" + hmac.new(SALT, i.to_bytes(8, "big"), "sha256").digest() + text.encode()).digest()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 40))
def test_the_root_is_the_documented_tree(count: int) -> None:
    examples = [Example(f"文 {i}", label="x", id=str(i)) for i in range(count)]
    expected = slow_root([leaf(i, example) for i, example in enumerate(examples)])
    assert commitment(examples, salt=SALT) == "sha256:" + expected.hex()


@pytest.mark.parametrize("change", [{"text": "b"}, {"label": "y"}, {"document": "1"}, {"id": "2"}])
def test_any_change_of_an_example_changes_the_root(change: dict[str, str]) -> None:
    examples = [Example("a", label="x", id="1")] * 3
    changed = [*examples[:2], examples[2]._replace(**change)]
    assert commitment(changed, salt=SALT) != commitment(examples, salt=SALT)


def test_parts_and_members_have_salts_of_their_own() -> None:
    keys = [
        (b"k" * 32, "set", "train"),
        (b"k" * 32, "set", "test"),
        (b"k" * 32, "other", "train"),
        (b"l" * 32, "set", "train"),
    ]
    assert len({part_salt(key, name=name, part=part) for key, name, part in keys}) == 4
