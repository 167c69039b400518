"""What the hub turned away: counted, bounded, kept over a kill, and handed to the ledger once."""

from foedus.core.errors import VerifyError
from foedus.hub.refusals import OTHERS, Refusals


def test_a_code_and_source_are_counted_together_and_told_once(tmp_path):
    told = []
    refusals = Refusals(tmp_path / "refused.json", lambda *what: told.append(what))
    for _ in range(3):
        refusals.note("wire.control-refused", "10.0.0.9", "POST /v1/control/start-run")
    refusals.note("wire.control-refused", "10.0.0.8")
    assert refusals.waiting == {("wire.control-refused", "10.0.0.9"): 3, ("wire.control-refused", "10.0.0.8"): 1}
    assert [source for _, source, _ in told] == ["10.0.0.9", "10.0.0.8"]


def test_a_flood_of_sources_and_codes_fills_neither_memory_nor_ledger(tmp_path):
    refusals = Refusals(tmp_path / "refused.json")
    for number in range(1000):
        refusals.note("wire.node-refused", f"10.0.{number // 250}.{number % 250}")
        refusals.note(f"wire.code-{number}", "10.0.0.1")
        refusals.note("wire.garbage", "no source\n\n")
    waiting = refusals.waiting
    assert len(waiting) <= 9 * 32
    assert waiting["wire.node-refused", OTHERS] == 1000 - 8
    assert waiting["wire.garbage", OTHERS] == 1000
    assert len({code for code, _ in waiting}) == 32


def test_counts_survive_a_kill(tmp_path):
    Refusals(tmp_path / "refused.json").note("hub.too-large", "bank-a")
    assert Refusals(tmp_path / "refused.json").waiting == {("hub.too-large", "bank-a"): 1}


def test_what_the_ledger_takes_is_gone_and_the_rest_waits(tmp_path):
    refusals = Refusals(tmp_path / "refused.json")
    refusals.note("hub.too-large", "bank-a")
    refusals.note("hub.too-often", "bank-b")
    taken = []

    def record(act):
        if act.source == "bank-a":
            raise VerifyError("fold.refused-twice", index=1, actor="hub", what=act.code, source="", run="", round=1)
        taken.append(act)

    refusals.enter(record, run="run-1", round=2)
    assert [(act.code, act.source, act.count, act.run, act.round) for act in taken] == [
        ("hub.too-often", "bank-b", 1, "run-1", 2)
    ]
    assert refusals.waiting == {("hub.too-large", "bank-a"): 1}
    assert Refusals(tmp_path / "refused.json").waiting == refusals.waiting
