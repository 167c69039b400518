"""Roots and proofs, against published values, against pymerkle, and for every forgery that hypothesis finds."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from foedus.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    root,
)

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "merkle.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
ROOTS = [EMPTY_ROOT, *map(bytes.fromhex, VECTORS["roots"])]


def tree(size):
    return [leaf_hash(b"%d" % number) for number in range(size)]


def test_roots_are_those_of_certificate_transparency():
    assert EMPTY_ROOT.hex() == VECTORS["empty_root"]
    assert [root(LEAVES[:size]) for size in range(9)] == ROOTS


def test_proofs_are_those_of_certificate_transparency():
    for vector in VECTORS["inclusion"]:
        path = [bytes.fromhex(item) for item in vector["path"]]
        assert inclusion_path(vector["index"], LEAVES[: vector["size"]]) == path
        assert is_included(LEAVES[vector["index"]], vector["index"], vector["size"], path, ROOTS[vector["size"]])
    for vector in VECTORS["consistency"]:
        path = [bytes.fromhex(item) for item in vector["path"]]
        old, new = vector["old_size"], vector["size"]
        assert consistency_path(old, LEAVES[:new]) == path
        assert is_consistent(old, new, path, ROOTS[old], ROOTS[new])


def test_three_leaves_by_hand():
    one, two, three = tree(3)
    assert root([one, two, three]) == sha256(b"\x01" + node_hash(one, two) + three).digest()


def test_roots_of_sizes_to_130_are_those_of_pymerkle():
    oracle, frontier = InmemoryTree(algorithm="sha256"), Frontier()
    for number in range(130):
        oracle.append_entry(b"%d" % number)
        frontier.add(leaf_hash(b"%d" % number))
        assert frontier.root == oracle.get_root()


def test_every_inclusion_and_consistency_proof_of_sizes_to_40_holds():
    for size in range(1, 41):
        hashes = tree(size)
        top = root(hashes)
        for index in range(size):
            assert is_included(hashes[index], index, size, inclusion_path(index, hashes), top)
        for old in range(size + 1):
            assert is_consistent(old, size, consistency_path(old, hashes), root(hashes[:old]), top)


@given(st.integers(1, 300), st.data())
@settings(max_examples=120, deadline=None)
def test_an_inclusion_proof_holds_for_its_leaf_place_and_size_only(size, data):
    hashes = tree(size)
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size + 3))
    path, top = inclusion_path(index, hashes), root(hashes)
    assert is_included(hashes[index], index, size, path, top)
    assert not is_included(leaf_hash(b"forged"), index, size, path, top)
    if other != index:
        assert not is_included(hashes[index], other, size, path, top)
    assert not is_included(hashes[index], index, size, [*path, top], top)
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        assert not is_included(hashes[index], index, size, path[:at] + path[at + 1 :], top)
        assert not is_included(hashes[index], index, size, [*path[:at], EMPTY_ROOT, *path[at + 1 :]], top)


@given(st.integers(2, 300), st.data())
@settings(max_examples=120, deadline=None)
def test_a_consistency_proof_holds_for_its_two_roots_only(size, data):
    hashes = tree(size)
    old = data.draw(st.integers(1, size - 1))
    path, before, after = consistency_path(old, hashes), root(hashes[:old]), root(hashes)
    assert is_consistent(old, size, path, before, after)
    forked = root([*hashes[: old - 1], leaf_hash(b"forged")])
    assert not is_consistent(old, size, path, forked, after)
    assert not is_consistent(old, size, path, before, root([*hashes[:-1], leaf_hash(b"forged")]))
    assert not is_consistent(old, size, [*path, after], before, after)
    at = data.draw(st.integers(0, len(path) - 1))
    assert not is_consistent(old, size, path[:at] + path[at + 1 :], before, after)
    assert not is_consistent(old, size, [*path[:at], EMPTY_ROOT, *path[at + 1 :]], before, after)


def test_a_node_is_no_leaf():
    one, two = tree(2)
    assert leaf_hash(one + two) != node_hash(one, two)


def test_equal_and_empty_trees_need_no_proof_and_accept_none():
    hashes = tree(5)
    top = root(hashes)
    assert is_consistent(5, 5, [], top, top)
    assert not is_consistent(5, 5, [top], top, top)
    assert not is_consistent(5, 5, [], EMPTY_ROOT, top)
    assert is_consistent(0, 5, [], EMPTY_ROOT, top)
    assert not is_consistent(0, 5, [], top, top)
    assert not is_consistent(6, 5, [], top, top)
    assert not is_consistent(3, 5, [], top, top)


def test_a_proof_for_no_leaf_is_refused():
    with pytest.raises(ValueError, match="below 3"):
        inclusion_path(3, tree(3))
    with pytest.raises(ValueError, match="up to 3"):
        consistency_path(4, tree(3))
