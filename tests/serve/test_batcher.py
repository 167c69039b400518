"""The line before a model: a fake model that costs counted time, and every promise of the batcher as a property."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockwork import run
from foedus.core.errors import CallerError, FoedusError, LateError, RunError
from foedus.serve.batcher import Batcher, Done, Limits, Line, Waiting


@dataclass
class Model:
    """Answers an item with itself in capitals. `poison`: items that make any batch with them fail."""

    each: float = 1.0
    poison: frozenset[str] = frozenset()
    batches: list[list[str]] = field(default_factory=list)
    at_work: int = 0

    async def __call__(self, items: Sequence[str]) -> Sequence[str]:
        assert not self.at_work, "two batches at once"
        self.at_work += 1
        try:
            self.batches.append(list(items))
            await asyncio.sleep(self.each * len(items))
            if self.poison & set(items):
                raise ValueError("poison")
            return [item.upper() for item in items]
        finally:
            self.at_work -= 1


def results(done: Sequence[Done[str]]) -> list[object]:
    return [type(one.result) if isinstance(one.result, Exception) else one.result for one in done]


async def ask(batcher: Batcher[str, str], *items: str, seconds: float = 1e9) -> list[object]:
    return results(await batcher.ask(items, [len(item) for item in items], seconds=seconds))


def test_an_idle_model_is_asked_at_once_and_the_next_batch_is_what_came_meanwhile() -> None:
    model = Model(each=10)

    async def story() -> None:
        batcher = Batcher[str, str](model)
        first = asyncio.create_task(ask(batcher, "a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert model.batches == [["a"]]
        rest = [asyncio.create_task(ask(batcher, item)) for item in "bcd"]
        assert await first == ["A"]
        assert [await one for one in rest] == [["B"], ["C"], ["D"]]

    run(story())
    assert model.batches == [["a"], ["b", "c", "d"]]


def took_exactly(got: float, seconds: float) -> None:
    assert got == pytest.approx(seconds)


texts = st.text("abcdefgh", min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(
    requests=st.lists(st.tuples(st.integers(0, 30), st.lists(texts, min_size=1, max_size=6)), min_size=1, max_size=20),
    poison=st.frozensets(texts, max_size=3),
    items=st.integers(1, 5),
    tokens=st.integers(1, 60),
)
def test_every_request_gets_its_own_answers_in_order_and_only_the_bad_ones_fail(
    requests: list[tuple[int, list[str]]], poison: frozenset[str], items: int, tokens: int
) -> None:
    model = Model(poison=poison)

    async def one(batcher: Batcher[str, str], after: int, asked: list[str]) -> None:
        await asyncio.sleep(after)
        expected = [ValueError if item in poison else item.upper() for item in asked]
        assert await ask(batcher, *asked) == expected

    async def story() -> None:
        batcher = Batcher[str, str](model, Limits(items, tokens, 10_000))
        await asyncio.gather(*(one(batcher, after, asked) for after, asked in requests))
        assert len(batcher) == 0
        await batcher.drain()

    run(story())
    for batch in model.batches:
        assert len(batch) <= items
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= tokens


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 600), min_size=1, max_size=60), st.integers(1, 8), st.integers(1, 2000))
def test_the_line_gives_out_everything_once_the_longest_waiting_first(
    sizes: list[int], items: int, tokens: int
) -> None:
    async def story() -> None:
        line: Line[int, int] = Line(Limits(items, tokens))
        loop = asyncio.get_running_loop()
        for number, size in enumerate(sizes):
            line.add(Waiting(number, size, 0.0, loop.create_future()))
        left, taken = set(range(len(sizes))), []
        while batch := [one.item for one in line.take()]:
            assert min(left) == batch[0]
            assert left >= set(batch)
            left -= set(batch)
            taken += batch
            assert len(line) == len(left)
        assert not left
        assert sorted(taken) == list(range(len(sizes)))

    run(story())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4), st.integers(1, 30)), min_size=1, max_size=20))
def test_a_deadline_is_kept_to_the_moment_and_harms_nobody_else(requests: list[tuple[int, int, int]]) -> None:
    model = Model(each=3)

    async def one(batcher: Batcher[str, str], number: int, after: int, count: int, seconds: int) -> bool:
        await asyncio.sleep(after)
        asked = [f"{number}-{i}" for i in range(count)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            found = await ask(batcher, *asked, seconds=seconds)
        except LateError:
            took_exactly(loop.time() - began, seconds)
            return False
        assert loop.time() - began <= seconds + 1e-6
        assert found == [item.upper() for item in asked]
        return True

    async def story() -> None:
        batcher = Batcher[str, str](model, Limits(items=3))
        done = await asyncio.gather(*(one(batcher, number, *request) for number, request in enumerate(requests)))
        assert len(batcher) == 0
        assert await ask(batcher, "after") == ["AFTER"]
        if all(seconds >= 3 * sum(count for _, count, _ in requests) + 3 for _, _, seconds in requests):
            assert all(done)

    run(story())


def test_what_left_the_line_is_not_computed() -> None:
    model = Model(each=10)

    async def story() -> None:
        batcher = Batcher[str, str](model)
        first = asyncio.create_task(ask(batcher, "first"))
        await asyncio.sleep(1)
        with pytest.raises(LateError):
            await ask(batcher, "late", seconds=2)
        gone = asyncio.create_task(ask(batcher, "gone"))
        await asyncio.sleep(1)
        gone.cancel()
        await first
        await batcher.drain()

    run(story())
    assert model.batches == [["first"]]


def test_a_full_line_turns_away_whole_requests_and_says_when_to_come_again() -> None:
    model = Model(each=5)

    async def story() -> None:
        batcher = Batcher[str, str](model, Limits(items=1, waiting=3))
        at_work = asyncio.create_task(ask(batcher, "a"))
        await asyncio.sleep(1)
        waiting = asyncio.create_task(ask(batcher, "b", "c"))
        await asyncio.sleep(1)
        with pytest.raises(RunError) as caught:
            await ask(batcher, "d", "e")
        assert caught.value.code == "serve.busy"
        assert caught.value.fields["waiting"] == 2
        assert isinstance(seconds := caught.value.fields["retry_seconds"], int)
        assert seconds >= 1
        assert len(batcher) == 2
        with pytest.raises(CallerError) as never:
            await ask(batcher, *"abcd")
        assert never.value.code == "serve.too-many-texts"
        assert await at_work == ["A"]
        assert await waiting == ["B", "C"]
        assert await ask(batcher, "d") == ["D"]

    run(story())


def test_the_seconds_after_which_to_come_again_follow_how_fast_the_model_is() -> None:
    async def seconds(each: float) -> object:
        batcher = Batcher[str, str](Model(each=each), Limits(items=1, waiting=4))
        for _ in range(30):
            await ask(batcher, "warm")
        tasks = [asyncio.create_task(ask(batcher, "a"))]
        await asyncio.sleep(each / 4)
        tasks += [asyncio.create_task(ask(batcher, item)) for item in "bcde"]
        await asyncio.sleep(each / 4)
        with pytest.raises(RunError) as caught:
            await ask(batcher, "f")
        await asyncio.gather(*tasks)
        return caught.value.fields["retry_seconds"]

    assert run(seconds(0.01)) == 1
    assert run(seconds(10)) in range(35, 45)


def test_a_closing_line_answers_what_it_has_and_takes_nothing_more() -> None:
    model = Model(each=5)

    async def story() -> None:
        batcher = Batcher[str, str](model, Limits(items=1))
        tasks = [asyncio.create_task(ask(batcher, item)) for item in "abc"]
        await asyncio.sleep(1)
        ending = asyncio.create_task(batcher.drain())
        await asyncio.sleep(1)
        with pytest.raises(RunError) as caught:
            await ask(batcher, "late")
        assert caught.value.code == "serve.draining"
        await ending
        assert [await task for task in tasks] == [["A"], ["B"], ["C"]]

    run(story())


def test_a_model_that_gives_too_few_results_is_asked_again_text_by_text() -> None:
    async def forgetful(items: Sequence[str]) -> Sequence[str]:
        return [item.upper() for item in items][: max(1, len(items) - 1)]

    async def story() -> None:
        batcher = Batcher[str, str](forgetful)
        assert await ask(batcher, *"abcde") == [*"ABCDE"]

    run(story())


def test_an_error_that_the_model_gives_in_place_of_a_result_stands_in_its_place() -> None:
    async def picky(items: Sequence[str]) -> Sequence[str | Exception]:
        return [RunError("serve.failed") if item == "b" else item for item in items]

    async def story() -> None:
        batcher = Batcher[str, str](picky)
        done = await batcher.ask("abc", [1, 1, 1], seconds=9)
        assert [isinstance(one.result, FoedusError) for one in done] == [False, True, False]

    run(story())


def test_what_is_observed_adds_up_to_what_was_asked() -> None:
    seen: list[tuple[Sequence[float], float]] = []

    async def story() -> None:
        batcher = Batcher[str, str](Model(each=2), Limits(items=2), observe=lambda *one: seen.append(one))
        await asyncio.gather(*(ask(batcher, item) for item in "abcde"))

    run(story())
    assert sum(len(waited) for waited, _ in seen) == 5
    assert [took for _, took in seen] == [4.0, 4.0, 2.0]
    assert [list(waited) for waited, _ in seen] == [[0.0, 0.0], [4.0, 4.0], [8.0]]
