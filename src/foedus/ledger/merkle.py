"""Merkle trees over SHA-256: RFC 6962 section 2.1, RFC 9162 section 2.1. Pure functions over leaf hashes.

A tree is given by the list of its leaf hashes. A leaf is hashed behind a byte 0x00 and a node behind 0x01, so that a
leaf can never be taken for a node. Proofs are lists of 32-byte hashes, lowest level first.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "Frontier",
    "consistency_path",
    "inclusion_path",
    "is_consistent",
    "is_included",
    "leaf_hash",
    "node_hash",
    "root",
]

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
"""The root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf's bytes."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The root of the tree with these leaf hashes (MTH of RFC 9162 section 2.1.1)."""
    frontier = Frontier()
    for item in hashes:
        frontier.add(item)
    return frontier.root


class Frontier:
    """A tree that grows leaf by leaf and remembers only what its next roots need.

    `peaks` are the roots of the full subtrees from left to right; the bits of `size` say how large each is. From both
    it goes on where it was.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)

    def add(self, hashed: bytes) -> None:
        """Append one leaf, given by its hash."""
        full = self.size  # each trailing 1 bit is a full subtree as large as the one on its right: join the two
        while full & 1:
            hashed = node_hash(self._peaks.pop(), hashed)
            full >>= 1
        self._peaks.append(hashed)
        self.size += 1

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of the full subtrees."""
        return tuple(self._peaks)

    @property
    def root(self) -> bytes:
        """The root over all leaves added so far."""
        if not self._peaks:
            return EMPTY_ROOT
        *rest, top = self._peaks
        for peak in reversed(rest):
            top = node_hash(peak, top)
        return top


def inclusion_path(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """The proof that leaf `index` is in this tree (PATH of RFC 9162 section 2.1.3.1)."""
    if not 0 <= index < len(hashes):
        raise ValueError(f"expected an index below {len(hashes)}, got {index}")
    if len(hashes) == 1:
        return []
    left = _left(len(hashes))
    if index < left:
        return [*inclusion_path(index, hashes[:left]), root(hashes[left:])]
    return [*inclusion_path(index - left, hashes[left:]), root(hashes[:left])]


def consistency_path(old_size: int, hashes: Sequence[bytes]) -> list[bytes]:
    """The proof that the first `old_size` leaves are those of the older tree (PROOF of RFC 9162 section 2.1.4.1)."""
    if not 0 <= old_size <= len(hashes):
        raise ValueError(f"expected a size up to {len(hashes)}, got {old_size}")
    return [] if old_size in (0, len(hashes)) else _subproof(old_size, hashes, known=True)


def _subproof(old_size: int, hashes: Sequence[bytes], *, known: bool) -> list[bytes]:
    """SUBPROOF of RFC 9162; `known` says that the verifier has the root of this very subtree."""
    if old_size == len(hashes):
        return [] if known else [root(hashes)]
    left = _left(len(hashes))
    if old_size <= left:
        return [*_subproof(old_size, hashes[:left], known=known), root(hashes[left:])]
    return [*_subproof(old_size - left, hashes[left:], known=False), root(hashes[:left])]


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], wanted: bytes) -> bool:
    """Whether `path` proves that `leaf` (a leaf hash) stands at `index` in the tree of that size and root.

    The steps are those of RFC 9162 section 2.1.3.2; `at` and `last` are the positions, at the current level, of the
    node on the path and of the last node.
    """
    if not 0 <= index < size:
        return False
    at, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False  # more hashes than levels
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:  # a last node without a sibling moves up unhashed
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == wanted


def is_consistent(old_size: int, size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether `path` proves that the tree of `size` begins with the tree of `old_size`.

    The steps are those of RFC 9162 section 2.1.4.2: one walk rebuilds both roots from the same hashes.
    """
    if not 0 <= old_size <= size:
        return False
    if old_size == size:
        return not path and old_root == new_root
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT
    if old_size & (old_size - 1) == 0:  # the older tree is a full subtree: its root is where the walk begins
        path = [old_root, *path]
    if not path:
        return False
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_node, new_node = node_hash(sibling, old_node), node_hash(sibling, new_node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new_node = node_hash(new_node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old_node == old_root and new_node == new_root


def _left(size: int) -> int:
    """The size of the left subtree: the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
