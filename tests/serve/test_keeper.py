"""Answers on their way into the store: together, in order, and at once where somebody looks for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from foedus.core.errors import RunError
from foedus.serve.keeper import Keeper
from foedus.serve.store import FILE, Answer, Traffic


class Counted(Traffic):
    """A store that counts its transactions; `broken`: it cannot write."""

    written: list[int]
    broken = False

    def add(self, answers: Iterable[Answer]) -> None:
        rows = list(answers)
        if self.broken:
            raise RunError("serve.cannot-keep", path=str(self.path), reason="full")
        self.written = [*getattr(self, "written", []), len(rows)]
        super().add(rows)


def answer(number: int) -> Answer:
    return Answer(f"{number:032x}", "2026-01-01T00:00:00Z", "intents-1.0", "", "service", 5, "refund", 9000)


def test_answers_that_come_one_by_one_are_written_together_and_in_order(tmp_path: Path) -> None:
    store = Counted(tmp_path / FILE)
    keeper = Keeper(store)
    for number in range(300):
        keeper.keep(answer(number))
    keeper.flush()
    assert sum(store.written) == 300
    assert len(store.written) < 100, "a transaction an answer keeps a processor from the next request"
    assert [one.id for one in store.answers(size=300)][::-1] == [answer(number).id for number in range(300)]
    keeper.close()


def test_whoever_looks_finds_what_was_given_before(tmp_path: Path) -> None:
    keeper = Keeper(Traffic(tmp_path / FILE))
    for number in range(5):
        keeper.keep(answer(number))
        keeper.flush()
        assert keeper.traffic.answer(answer(number).id) == answer(number)
    keeper.flush()  # of nothing
    keeper.close()


def test_what_waits_when_the_server_ends_is_written(tmp_path: Path) -> None:
    keeper = Keeper(Traffic(tmp_path / FILE))
    for number in range(1200):
        keeper.keep(answer(number))
    keeper.close()
    with Traffic(tmp_path / FILE) as store:
        assert store.counts()["answers"] == 1200


def test_what_could_not_be_written_is_counted_and_told(tmp_path: Path) -> None:
    store = Counted(tmp_path / FILE)
    store.broken = True
    keeper = Keeper(store)
    keeper.keep(answer(1))
    keeper.flush()
    assert (keeper.lost, keeper.trouble) == (1, "serve.cannot-keep")
    store.broken = False
    keeper.keep(answer(2))
    keeper.flush()
    assert (keeper.lost, keeper.trouble) == (1, None)
    keeper.close()
