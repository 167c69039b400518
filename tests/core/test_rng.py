"""Public randomness is recomputable; secret randomness is not."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.rng import PublicRng, SecretRng


def test_the_stream_is_the_one_that_was_published():
    # A vector of this project: changing it changes every run that anyone recomputes.
    assert PublicRng("seed", "run-1", 1, "bank-a").bytes(16).hex() == "f5c451b896db908d6e7f4214387abf08"


@given(st.lists(st.integers(0, 40), max_size=8))
@settings(max_examples=50, deadline=None)
def test_the_pieces_in_which_a_stream_is_read_do_not_matter(pieces):
    rng = PublicRng("seed")
    assert b"".join(rng.bytes(n) for n in pieces) == PublicRng("seed").bytes(sum(pieces))


def test_each_purpose_has_a_stream_of_its_own():
    purposes = [(), ("a",), ("b",), ("a", 1), ("a", 2), (1, "a"), ("a", "1", "")]
    assert len({PublicRng("seed", *p).bytes(16) for p in purposes} | {PublicRng("other").bytes(16)}) == 8


@given(st.integers(1, 2**70), st.text(max_size=5))
@settings(max_examples=100, deadline=None)
def test_below_stays_below(bound, seed):
    if any(0xD800 <= ord(c) < 0xE000 for c in seed):
        return
    assert 0 <= PublicRng(seed).below(bound) < bound


def test_below_is_even():
    rng = PublicRng("even")
    counts = Counter(rng.below(6) for _ in range(6000))
    assert sorted(counts) == list(range(6))
    # Chi-square with 5 degrees of freedom; 20.5 is passed once in a thousand seeds, and this seed is fixed.
    assert sum((n - 1000) ** 2 / 1000 for n in counts.values()) < 20.5


def test_below_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least 1"):
        PublicRng("seed").below(0)


@given(st.lists(st.integers(), max_size=20))
@settings(max_examples=50, deadline=None)
def test_shuffling_keeps_the_items_and_the_argument(items):
    before = list(items)
    assert sorted(PublicRng("seed").shuffled(items)) == sorted(items)
    assert items == before


def test_every_order_of_three_comes_about_as_often():
    counts = Counter(tuple(PublicRng("s", n).shuffled("abc")) for n in range(1200))
    assert len(counts) == 6
    assert min(counts.values()) > 150


def test_seeds_of_libraries_fit_63_bits():
    assert all(0 <= PublicRng("s", n).seed63() < 2**63 for n in range(100))


def test_secret_bytes_never_repeat_and_are_no_public_rng():
    rng = SecretRng()
    assert len({rng.bytes(16) for _ in range(100)}) == 100
    assert len(rng.hex(16)) == 32
    assert not isinstance(rng, PublicRng)
