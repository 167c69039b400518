"""The whole loop on real texts: a release serves, its stream shifts, an alarm, corrections, a proposal, a vote, a run
from the release's state, the next release, and quality restored; all of it read back from the ledger.
"""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from foedus.core.clock import now, spell
from foedus.core.files import write_atomic
from foedus.data.key import KEY_FILE
from foedus.demo.scenarios import scenario
from foedus.ledger.log import Ledger
from foedus.records.accord import Accord
from foedus.records.watch import WatchReport
from foedus.serve.predict import Question, load_predictor
from foedus.serve.store import Answer, Feedback, Traffic
from foedus.workspace import consortium, open_workspace
from practised import LABELS, MEMBERS, WORDS, agreed, done, drawn_up, foedus, registered
from tiny import tiny_base

pytestmark = pytest.mark.slow

NEW = {
    "passcode_forgotten": "change_pin",
    "pin_blocked": "change_pin",
    "exchange_charge": "exchange_rate",
    "lost_or_stolen_phone": "age_limit",
}
"""What customers begin to ask about, and the label that it should have got."""
MORE = (
    "passcode",
    "forgot",
    "blocked",
    "unblock",
    "reset",
    "charge",
    "charged",
    "fee",
    "cost",
    "phone",
    "lost",
    "stolen",
)
CLAUSES = """\
monitoring: {reference: 150, window: 100, smallest_cell: 5, proposers: [bank-a, bank-b]}
credit: {name: aumann-shapley, points: 9}  # the second run begins far from where it ends
"""


def texts(intents):
    """Distinct real questions of some intents, each with the label that it should get."""
    found = {row.text: intents[row.label] for row in scenario("banking").rows() if row.label in intents}
    return sorted(found.items())


def drawn(rng, pool, count):
    """So many of them, drawn with replacement."""
    return [pool[i] for i in rng.integers(len(pool), size=count)]


class Served:
    """A release that answers, with its traffic in a member's workspace."""

    def __init__(self, folder: Path, bundle: Path, *, after: timedelta = timedelta()) -> None:
        self.folder, self.release, self.begin = folder, bundle.name.removesuffix(".foedus"), now() + after
        self.predictor = load_predictor(
            bundle / "model", Accord.from_bytes((bundle / "accord/accord.json").read_bytes())
        )
        self.count = 0

    def serve(self, asked, *, judge=False, consent=False):
        """Answer these texts, and have users judge and correct the answers; gives the share of right ones."""
        right = 0
        with Traffic.of(self.folder) as traffic:
            for text, label in asked:
                (one,) = self.predictor.answer([Question(text, embed=True)])
                self.count += 1
                name, at = f"{self.release}/{self.count}", spell(self.begin + timedelta(seconds=self.count))
                traffic.add(
                    [
                        Answer(
                            name, at, self.release, "", "customer-service", one.tokens, one.answer["label"],
                            round(one.confidence * 10_000), text, one.embedding,
                        )
                    ]
                )  # fmt: skip
                good = one.answer["label"] == label
                right += good
                if judge:
                    said = "right" if good else "wrong"
                    traffic.say(Feedback(name, at, said, None if good else label, None, consent, "user"))
        return right / len(asked)


def released(home, run, version):
    """Build, approve and publish; the bundle."""
    hub = home / "hub"
    draft = done("release", "build", "--run", run, "--version", version, "--workspace", hub)["folder"]
    votes = [done("gate", "approve", draft, "--yes", "--workspace", home / one, at=home)["file"] for one in MEMBERS]
    done("gate", "approve", draft, "--collect", *votes, "--workspace", hub, at=home)
    done("release", "build", Path(draft).name, "--workspace", hub)
    return Path(draft)


def test_a_shifted_stream_leads_to_a_better_release_by_way_of_the_ledger(tmp_path):
    home, rng = tmp_path / "home", np.random.default_rng(7)
    base = tiny_base(tmp_path / "base", words=(*WORDS, *MORE), steps=120)
    drawn_up(
        home,
        base,
        changes=[("rounds: 2", "rounds: 4"), ("batch_size: 8", "epochs: 4, batch_size: 8"), (r"\Z", CLAUSES)],
    )
    for one in MEMBERS:  # which rows are kept for which part hangs on it
        write_atomic(home / one / KEY_FILE, one.encode().ljust(32).hex().encode(), mode=0o600)
    anchor = agreed(home)
    registered(home)
    hub, bank = home / "hub", home / "bank-a"
    done("run", "start", "--workers", "0", "--workspace", hub)
    first = released(home, "run-1", "1.0")

    # (1) It serves what it was trained on: no alarm.
    old, new = texts(dict(zip(LABELS, LABELS, strict=True))), texts(NEW)
    new = [new[i] for i in rng.permutation(len(new))]
    corrected, unseen = new[: len(new) // 2], new[len(new) // 2 :]
    served = Served(bank, first)
    as_before = served.serve(drawn(rng, old, 350), judge=True)
    seen = done("monitor", "drift", "--workspace", bank)
    assert (seen["looks"], seen["alerts"]) == (2, [])

    # (2) The stream shifts: an alarm, and quality falls.
    shifted = served.serve(drawn(rng, corrected, 400), judge=True, consent=True)
    assert shifted < as_before - 0.2
    seen = done("monitor", "drift", "--workspace", bank)
    levels = {one["measure"]: one["level"] for one in done("monitor", "alerts", "--workspace", bank)["alerts"]}
    assert levels["quality"] == "critical"
    assert "warning" in {level for measure, level in levels.items() if measure != "quality"}
    feedback = done("monitor", "feedback", "--workspace", bank)
    assert feedback["corrections"] > 40

    # (3) Corrections become the member's own training data, and its card says so.
    before = consortium(open_workspace(hub)).cards["bank-a"].act
    took = done("data", "feedback", bank / "data.yaml", "--consent", "a ticked box", "--workspace", bank)
    assert took["total"] == feedback["corrections"]
    card = done("data", "card", bank / "data.yaml", "--register", "--workspace", bank, at=home)
    assert card["card"]["feedback"]["consent"] == "a ticked box"
    done("accord", "sign", "--collect", card["registered"], "--workspace", hub, at=home)
    after = consortium(open_workspace(hub)).cards["bank-a"].act
    assert after.examples > before.examples
    assert after.parts["test"] == before.parts["test"]

    # (4) A proposal on evidence, voted on.
    report = tmp_path / "report.json"
    done("monitor", "report", "--out", report, "--workspace", bank)
    now_is = f"{shifted:.3f}"
    how = ("--why", "customers ask about other things", "--metric", "accuracy", "--now", now_is, "--expected", "0.8")
    bank_c = foedus("run", "propose", "--evidence", report, *how, "--yes", "--workspace", home / "bank-c", at=home)
    assert (bank_c.code, bank_c.data["code"]) == (6, "fold.not-entitled")
    proposed = done("run", "propose", "--evidence", report, *how, "--yes", "--workspace", bank, at=home)
    entry = proposed["proposal"]
    done("accord", "sign", "--collect", proposed["file"], "--workspace", hub, at=home)
    early = foedus("run", "start", "--proposal", "last", "--workers", "0", "--workspace", hub)
    assert (early.code, early.data["code"]) == (6, "fold.not-approved")
    votes = []
    for member in ("bank-a", "bank-b"):
        votes += ["--collect", done("run", "vote", "last", "--yes", "--workspace", home / member, at=home)["file"]]
    assert done("run", "vote", "last", *votes, "--workspace", hub, at=home)["outcome"] == "approved"

    # (5) The run starts from the release, and the next release is better on texts that nobody corrected.
    done("run", "start", "--proposal", entry[7:19], "--workers", "0", "--workspace", hub)
    second = released(home, "run-2", "2.0")
    again = Served(bank, second, after=timedelta(hours=1))
    restored = again.serve(drawn(rng, unseen, 250), judge=True)
    assert restored > shifted + 0.2
    seen = done("monitor", "drift", "--workspace", bank)
    assert (seen["release"], seen["alerts"]) == (again.release, [])

    # (6) All of it in the ledger, and recomputed from the recorded replies.
    state = consortium(open_workspace(hub))
    run, proposal = state.runs["run-2"].opened, state.run_proposals[entry]
    assert run.proposal == entry
    assert run.start == state.proposals[proposal.act.release].proposal.state == state.runs["run-1"].close.state
    assert (proposal.by, proposal.run, proposal.act.gain.now) == ("bank-a", "run-2", f"{float(now_is):g}")
    evidence = WatchReport.from_bytes(open_workspace(hub).objects.get(proposal.act.evidence[0]))
    assert evidence.level == "critical"
    types = [leaf.entry.type for leaf in Ledger(hub / "ledger").leaves()]
    order = [types.index("run.propose"), types.index("run.open", types.index("run.propose"))]
    assert types[order[0] : order[1]].count("vote.cast") == 2
    assert "vote.close" in types[order[0] : order[1]]
    done("run", "export-replies", "run-2", tmp_path / "replies", "--workspace", hub)
    verified = done("verify", second, "--anchor", anchor, "--replay", tmp_path / "replies")
    assert not [one for one in verified["checks"] if one["outcome"] == "fail"]
    standing = done("run", "proposals", "--workspace", hub)["proposals"][0]
    assert (standing["standing"], standing["run"]) == ("done", "run-2")
