"""Members and a hub that meet at the hub's door, a run carried through, and a draft that waits for votes."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from foedus import workspace as ws
from foedus.core.digest import sha256
from foedus.ledger.fold import shares
from foedus.records import acts
from foedus.records.evidence import Credit, CreditReport, DataCard, PartSummary, Salted
from foedus.release.desk import draft_of_run
from foedus.resident.join import sync
from gates.hand_made import model
from measured import measured, replied
from met import Door, entered

STATE = "sha256:" + "2" * 64
NAMES = ("bank-a", "bank-b")
_FOLDERS = ExitStack()
atexit.register(_FOLDERS.close)


@dataclass
class Drafted:
    """A hub's workspace with a draft, its members' workspaces, and the door between them."""

    hub: Any
    members: dict[str, Any]
    door: Door
    draft: Any

    @property
    def digest(self):
        return self.draft.proposal.digest

    def state(self):
        return ws.consortium(self.hub)

    def link(self, source="10.0.0.5"):
        return self.door.link(source)

    def act(self, party):
        return ws.private_key(self.members[party], "act")


def drafted(tmp_path, *, good=True, model_bytes=None) -> Drafted:
    """A consortium of two whose run `r1` was measured and whose draft `bank-intents 1.0.0` is proposed.

    `good`: whether its figures clear the gates; `model_bytes`: of a file beside its weights. It is made once a process,
    and each test gets a copy.
    """
    made = _made(good, model_bytes)
    for party in ("hub", *NAMES):
        shutil.copytree(made.hub.folder.with_name(party), tmp_path / party, symlinks=True)
    hub = ws.open_workspace(tmp_path / "hub")
    draft = replace(made.draft, folder=hub.folder / made.draft.folder.relative_to(made.hub.folder))
    return Drafted(hub, {name: ws.open_workspace(tmp_path / name) for name in NAMES}, Door(hub.folder), draft)


@cache
def _made(good, model_bytes) -> Drafted:
    folder = Path(_FOLDERS.enter_context(tempfile.TemporaryDirectory(prefix="foedus-drafted-")))
    hub, members, door = entered(folder, NAMES)
    accord = ws.consortium(hub).accord
    licence = accord.data.licences[0] if accord.data.licences else "CC-BY-4.0"
    consent = accord.data.consents[0] if accord.data.consents else "contract"
    for number, member in enumerate(NAMES):
        parts = {part: "sha256:" + f"{number}{len(part):x}" * 32 for part in ("train", "validation", "test")}
        summary = PartSummary(examples=500, labels={"card": 250, "loan": None}, tokens_median=9, tokens_p95=20)
        card = DataCard(
            member=member, name="questions", source="own", licence=licence, consent=consent, smallest_cell=5,
            mapping="sha256:" + "e" * 64, parts=dict.fromkeys(parts, summary), commitments=parts, duplicates=0,
            across_parts=0,
        )  # fmt: skip
        data = Salted(salt=f"{number}" * 32, document=card.model_dump(mode="json")).to_bytes()
        members[member].objects.put(data)
        register = acts.RegisterCard(
            card=sha256(data), name=card.name, licence=licence, consent=consent, examples=500, parts=parts
        )
        ws.collect_acts(hub, [ws.make_act(members[member], register, [data], clock=door.clock)], clock=door.clock)
    _carried_through(hub, NAMES, door.clock, good=good)
    ready = model(hub.folder / "runs" / "r1" / "model")
    if model_bytes:
        (ready / "vocab.txt").write_bytes(b"word\n" * (model_bytes // 5))
    draft = draft_of_run(hub, "r1", version="1.0.0", model=ready, clock=door.clock)
    for member in members.values():
        sync(member, door.link())
    return Drafted(hub, members, door, draft)


def _carried_through(hub, names, clock, *, good):
    accord = ws.consortium(hub).accord

    def act(record, objects=()):
        ws.act(hub, record, objects, clock=clock)

    act(acts.OpenRun(run="r1", roster=names, start=STATE, engine="inprocess", numerics={"torch": "2"}))
    weights = shares(accord.aggregation.combine, dict.fromkeys(names, 500))
    rounds = accord.training.rounds
    for number in range(1, rounds + 1):
        used = tuple(acts.Used(member=m, reply=sha256(f"{m}{number}".encode()), weight=weights[m]) for m in names)
        act(acts.CloseRound(run="r1", round=number, snapshot=STATE, state=STATE, used=used))
    act(acts.CloseRun(run="r1", outcome="done", rounds=rounds, released_round=rounds, state=STATE))
    levels = {"federated": 98, "alone": 96} if good else {"federated": 4, "alone": 2}
    close = {("difference", member): ("0.01", "0.03") for member in names}
    examination = measured(accord, names, state=STATE, n=1000, intervals=close, **levels)
    credit = CreditReport(
        run="r1", method="aumann-shapley", start_loss="1", released_loss="0.4", total="0.6",
        residual=str(round(0.6 - 0.2 * len(names), 3)), tolerance="0.3",
        credits=tuple(Credit(member=m, value="0.2", by_round=("0.2",)) for m in names),
    )  # fmt: skip
    has_credit = accord.credit.name != "none"
    given = credit.digest if has_credit else None
    act(
        acts.EnterEvidence(run="r1", evidence=examination.digest, credit=given, replies=replied(names)),
        [examination.to_bytes(), credit.to_bytes()],
    )
