"""The whole flow on paper: parties in folders of their own, and only files between them."""

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foedus import workspace as ws
from foedus.core.envelope import Envelope, b64
from foedus.core.errors import CallerError, FoedusError, IdentityError, RunError, VerifyError
from foedus.core.keys import generate
from foedus.core.messages import LANGUAGES, error_text
from foedus.core.parcel import Parcel
from foedus.records.acts import Leave, RegisterCard, possession_message
from foedus.records.membership import Joined, LedgerCopy
from foedus.workspace.joining import only_document

SESAME = "open sesame"
PIN = "sha256:" + "5a" * 32


def clock():
    return datetime(2026, 6, 1, 10, tzinfo=UTC)


def ready_draft(hub):
    """Fill in what the template leaves to be filled in."""
    hub.draft.write_text(hub.draft.read_text().replace("sha256:" + "0" * 64, PIN))


def joined(tmp_path, names=("bank-a", "bank-b", "bank-c"), passphrase=None):
    hub = ws.create_coordinator(tmp_path / "hub", "hub", members=names, passphrase=passphrase)
    ready_draft(hub)
    members = {}
    for name in names:
        invitation = ws.invite(hub, name, passphrase=passphrase)
        ws.collect_joined(hub, ws.join(tmp_path / name, invitation, passphrase=passphrase))
        members[name] = ws.open_workspace(tmp_path / name)
    return ws.open_workspace(tmp_path / "hub"), members


def in_force(tmp_path, names=("bank-a", "bank-b", "bank-c")):
    hub, members = joined(tmp_path, names)
    offer = ws.propose_accord(hub, clock=clock)
    hub = ws.open_workspace(hub.folder)
    for name, member in members.items():
        accord = ws.receive_accord(member, offer.parcel)
        ws.collect_acts(hub, [ws.sign_accord(member, accord, clock=clock)], clock=clock)
        members[name] = ws.open_workspace(member.folder)
    for member in members.values():
        ws.take_ledger(member, ws.export_ledger(hub))
    return hub, members


def refused(code, kind, call):
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code
    assert all(str(error_text(caught.value, lang=lang)) for lang in LANGUAGES)


def card(name, examples=100):
    parts = dict.fromkeys(("train", "validation", "test"), PIN)
    return RegisterCard(card=PIN, name=name, licence="CC0-1.0", consent="own", examples=examples, parts=parts)


def test_from_new_to_an_accord_in_force_with_nothing_but_files(tmp_path):
    hub, members = in_force(tmp_path)
    state = ws.consortium(hub)
    assert state.accord is not None
    assert state.anchor == state.accord_digest == members["bank-a"].page.anchor
    assert all(ws.consortium(member) == state for member in members.values())
    assert [m.name for m in state.members] == ["bank-a", "bank-b", "bank-c"]


def test_an_act_is_recorded_once_however_often_it_is_sent(tmp_path):
    hub, members = in_force(tmp_path)
    sent = ws.make_act(members["bank-a"], card("a"), clock=clock)
    assert ws.outbox(members["bank-a"])[-1] == sent
    first = ws.collect_acts(hub, [sent], clock=clock)
    assert ws.collect_acts(hub, [sent, sent], clock=clock) == first * 2
    assert ws.consortium(hub).cards["bank-a"].index == first[0]


def test_an_act_made_before_a_crash_waits_and_is_sent_unchanged(tmp_path):
    hub, members = in_force(tmp_path)
    made = ws.make_act(members["bank-a"], card("a"), clock=clock)
    again = ws.open_workspace(members["bank-a"].folder)
    assert ws.pending(again) == [made]
    later = ws.make_act(again, card("b", 200), clock=clock)
    assert ws.pending(again) == [made, later]
    ws.collect_acts(hub, ws.pending(again), clock=clock)
    ws.take_ledger(again, ws.export_ledger(hub))
    assert ws.pending(again) == []
    assert ws.consortium(again).cards["bank-a"].act.examples == 200


KILLED = """
import os, sys
from pathlib import Path
from datetime import datetime, UTC
from foedus import workspace as ws
import foedus.workspace.acting as acting
from foedus.records.acts import Leave
when, folder = sys.argv[1], Path(sys.argv[2])
write = acting.write_atomic
def dying(*args, **kwargs):
    if when == "after":
        write(*args, **kwargs)
    os._exit(9)
acting.write_atomic = dying
ws.make_act(ws.open_workspace(folder), Leave(reason="r"), clock=lambda: datetime(2026, 6, 1, 10, tzinfo=UTC))
"""


@pytest.mark.parametrize(("when", "kept"), [("before", 0), ("after", 1)])
def test_killed_around_the_allotment_of_a_number_the_act_is_there_or_is_not(tmp_path, when, kept):
    hub, members = in_force(tmp_path)
    a = members["bank-a"]
    done = subprocess.run([sys.executable, "-c", KILLED, when, str(a.folder)], check=False)
    assert done.returncode == 9
    assert len(ws.pending(a)) == kept
    if not kept:
        ws.make_act(a, Leave(reason="r"), clock=clock)
    ws.collect_acts(hub, ws.pending(a), clock=clock)
    assert ws.consortium(hub).left == {"bank-a"}
    assert ws.consortium(hub).frozen == {}


def test_a_coordinator_killed_before_recording_records_its_act_the_next_time(tmp_path):
    hub, _ = joined(tmp_path)
    accord = ws.drafted_accord(hub)
    from foedus.ledger.log import Ledger
    from foedus.records.acts import ProposeAccord

    Ledger.create(hub.ledger, origin=accord.origin, key=ws.private_key(hub, "log"))
    propose = ProposeAccord(accord=accord.digest)
    ws.make_act(hub, propose, [accord.to_bytes()], accord=accord.digest, clock=clock)
    assert ws.consortium(hub).size == 0
    ws.propose_accord(hub, clock=clock)
    assert ws.consortium(hub).size == 1


def test_an_act_that_could_not_stand_uses_up_no_number(tmp_path):
    hub, members = in_force(tmp_path)
    refused("fold.not-entitled", VerifyError, lambda: ws.make_act(hub, card("hub"), clock=clock))
    a = members["bank-a"]
    refused("fold.against-clause", VerifyError, lambda: ws.make_act(a, card("a", 0), clock=clock))
    assert ws.pending(a) == []
    ws.collect_acts(hub, [ws.make_act(a, card("a"), clock=clock)], clock=clock)


def test_proposing_the_same_draft_again_changes_nothing(tmp_path):
    hub, _ = joined(tmp_path)
    first = ws.propose_accord(hub, clock=clock)
    assert ws.propose_accord(ws.open_workspace(hub.folder), clock=clock) == first
    hub.draft.write_text(
        hub.draft.read_text().replace("rounds: 4 ", "rounds: 6 ").replace("rounds: 4\n", "rounds: 6\n")
    )
    refused("workspace.other-genesis", CallerError, lambda: ws.propose_accord(ws.open_workspace(hub.folder)))


def test_an_amendment_is_signed_the_same_way(tmp_path):
    hub, members = in_force(tmp_path)
    hub.draft.write_text(hub.draft.read_text().replace("rounds: 4\n", "rounds: 6\n"))
    offer = ws.propose_accord(hub, clock=clock)
    assert (offer.accord.version, offer.file_name) == (2, "bank-intents-v2.to-sign")
    for member in members.values():
        accord = ws.receive_accord(member, offer.parcel)
        ws.collect_acts(hub, [ws.sign_accord(member, accord, clock=clock)], clock=clock)
    state = ws.consortium(hub)
    assert state.accord.training.rounds == 6
    assert state.anchor != state.accord_digest


def test_a_draft_with_a_problem_is_not_proposed(tmp_path):
    hub, _ = joined(tmp_path)
    hub.draft.write_text(
        hub.draft.read_text().replace(PIN, "sha256:" + "0" * 64).replace("min_members: 2", "min_members: 9")
    )
    refused("workspace.accord-has-problems", CallerError, lambda: ws.propose_accord(hub))


def test_rotated_keys_take_over_when_they_are_in_force(tmp_path):
    hub, members = in_force(tmp_path)
    a = members["bank-a"]
    before = ws.private_key(a, "act").public
    ws.rotate_key(a, "act", clock=clock)
    after = ws.make_act(a, card("a"), clock=clock)
    assert after == ws.pending(a)[-1]
    ws.collect_acts(hub, ws.pending(a), clock=clock)
    ws.take_ledger(a, ws.export_ledger(hub))
    assert ws.private_key(a, "act").public == ws.consortium(hub).key("bank-a", "act") != before
    ws.rotate_key(hub, "act", clock=clock)
    assert ws.private_key(hub, "act").public == ws.consortium(hub).key("hub", "act")


# ── refusals ─────────────────────────────────────────────────────────────────


def test_a_folder_without_a_workspace_or_with_one_is_named(tmp_path):
    refused("workspace.none-here", CallerError, lambda: ws.open_workspace(tmp_path))
    ws.create_coordinator(tmp_path / "hub", "hub")
    refused("workspace.exists", CallerError, lambda: ws.create_coordinator(tmp_path / "hub", "hub"))
    refused("workspace.bad-names", CallerError, lambda: ws.practice(tmp_path / "p", ["hub"]))


def test_each_does_what_its_role_lets_it_do(tmp_path):
    hub, members = joined(tmp_path)
    refused("workspace.wrong-role", CallerError, lambda: ws.invite(members["bank-a"], "bank-d"))
    refused("workspace.wrong-role", CallerError, lambda: ws.take_ledger(hub, b""))
    refused("workspace.wrong-role", CallerError, lambda: ws.collect_acts(members["bank-a"], []))


def test_joining_again_gives_the_same_answer_and_another_party_is_refused(tmp_path):
    hub = ws.create_coordinator(tmp_path / "hub", "hub")
    invitation = ws.invite(hub, "bank-a")
    assert ws.invite(hub, "bank-a") == invitation
    back = ws.join(tmp_path / "a", invitation)
    assert ws.join(tmp_path / "a", invitation) == back
    assert ws.collect_joined(hub, back) == ws.collect_joined(hub, back) == "bank-a"
    refused("workspace.exists", CallerError, lambda: ws.join(tmp_path / "a", ws.invite(hub, "bank-b")))
    refused("workspace.joined-already", CallerError, lambda: ws.invite(hub, "bank-a"))


def test_an_answer_to_another_invitation_or_with_unproven_keys_is_refused(tmp_path):
    hub = ws.create_coordinator(tmp_path / "hub", "hub")
    other = ws.create_coordinator(tmp_path / "other", "other")
    stranger = ws.join(tmp_path / "a", ws.invite(other, "bank-a"))
    refused("workspace.not-invited", CallerError, lambda: ws.collect_joined(hub, stranger))
    asked = ws.read_invitation(ws.invite(hub, "bank-a")).digest

    def answer(**changes):
        held = {purpose: generate(purpose) for purpose in ("act", "witness", "release")} | changes.pop("held", {})
        message = possession_message(asked, "bank-a")
        document = Joined(
            invitation=asked,
            member="bank-a",
            keys={purpose: key.public for purpose, key in held.items()},
            witness_proof=changes.get("witness_proof", b64(held["witness"].sign(message))),
            release_proof=b64(held["release"].sign(message)),
        )
        return Parcel.of([document.sign(changes.get("signer", held["act"]))]).to_bytes()

    bad = b64(generate("witness").sign(b"else"))
    refused("workspace.key-not-proven", VerifyError, lambda: ws.collect_joined(hub, answer(witness_proof=bad)))
    refused("envelope.not-signed", VerifyError, lambda: ws.collect_joined(hub, answer(signer=generate("act"))))
    taken = {"act": ws.private_key(hub, "act")}
    refused("workspace.key-known", IdentityError, lambda: ws.collect_joined(hub, answer(held=taken)))
    refused("workspace.not-one-document", CallerError, lambda: ws.collect_joined(hub, Parcel.of([]).to_bytes()))


def test_a_changed_invitation_is_refused(tmp_path):
    hub = ws.create_coordinator(tmp_path / "hub", "hub")
    invitation = ws.read_invitation(ws.invite(hub, "bank-a"))
    forged = invitation.model_copy(update={"member": "bank-z"}).sign(generate("act"))
    with pytest.raises(VerifyError, match=r"envelope\.not-signed"):
        ws.join(tmp_path / "z", Parcel.of([forged]).to_bytes())
    assert not (tmp_path / "z").exists()


def test_an_accord_with_other_keys_for_me_or_from_another_coordinator_is_refused(tmp_path):
    hub, members = joined(tmp_path)
    offer = ws.propose_accord(hub, clock=clock)
    a = members["bank-a"]
    (a.folder / "keys" / "witness.pem").unlink()
    from foedus.core.keys import save_private

    save_private(a.folder / "keys" / "witness.pem", generate("witness"))
    refused("workspace.other-keys", IdentityError, lambda: ws.receive_accord(a, offer.parcel))
    second = ws.create_coordinator(tmp_path / "h2", "hub")
    page = members["bank-b"].page.model_copy(update={"coordinator_keys": second.page.coordinator_keys})
    b = ws.Workspace(members["bank-b"].folder, page)
    refused("workspace.other-coordinator", IdentityError, lambda: ws.take_ledger(b, offer.parcel))


def test_there_is_nothing_to_sign_twice(tmp_path):
    hub, members = in_force(tmp_path)
    a = members["bank-a"]
    refused("workspace.nothing-to-sign", CallerError, lambda: ws.receive_accord(a, ws.export_ledger(hub)))


def test_acting_before_there_is_an_accord_is_refused(tmp_path):
    _, members = joined(tmp_path)
    refused("workspace.no-accord", CallerError, lambda: ws.make_act(members["bank-a"], card("a"), clock=clock))
    refused("workspace.no-accord", CallerError, lambda: ws.rotate_key(members["bank-a"], "act", clock=clock))


def test_a_copy_with_a_changed_or_missing_entry_is_refused_and_the_old_copy_stays(tmp_path):
    hub, members = in_force(tmp_path)
    a = members["bank-a"]
    ws.collect_acts(hub, [ws.make_act(a, card("a"), clock=clock)], clock=clock)
    before = ws.consortium(a)
    parcel = Parcel.from_bytes(ws.export_ledger(hub))
    copy = LedgerCopy.from_bytes(only_document(parcel.to_bytes()).payload)
    for leaves in (copy.leaves[:-1], copy.leaves[:1] + copy.leaves[2:], (*copy.leaves, copy.leaves[-1])):
        forged = Envelope(LedgerCopy.payload_type(), copy.model_copy(update={"leaves": leaves}).to_bytes(), ())
        with pytest.raises(FoedusError) as caught:
            ws.take_ledger(a, Parcel((forged,), parcel.objects).to_bytes())
        assert caught.value.code.split(".")[0] in ("ledger", "fold")
        assert ws.consortium(a) == before


def test_a_copy_of_the_entries_that_a_member_lacks_is_enough_and_one_with_a_gap_is_refused(tmp_path):
    hub, members = in_force(tmp_path)
    a, known = members["bank-a"], ws.consortium(members["bank-a"]).size
    ws.collect_acts(hub, [ws.make_act(a, card("a"), clock=clock)], clock=clock)
    whole, added = ws.export_ledger(hub), ws.export_ledger(hub, known)
    assert len(LedgerCopy.from_bytes(only_document(added).payload).leaves) == ws.consortium(hub).size - known
    after = ws.export_ledger(hub, known + 1)
    refused("workspace.copy-leaves-gap", CallerError, lambda: ws.take_ledger(a, after))
    assert ws.consortium(a).size == known
    with pytest.raises(ValueError, match="at least 0"):
        LedgerCopy.model_validate(LedgerCopy.from_bytes(only_document(added).payload).model_dump() | {"start": -1})
    assert ws.take_ledger(a, added) == ws.consortium(hub)
    for old in (added, whole):  # again changes nothing
        assert ws.take_ledger(a, old) == ws.consortium(hub)
    stranger = members["bank-b"]
    assert ws.take_ledger(stranger, whole) == ws.consortium(hub)


def test_a_copy_of_some_entries_that_were_changed_is_refused(tmp_path):
    hub, members = in_force(tmp_path)
    a, b, known = members["bank-a"], members["bank-b"], ws.consortium(members["bank-a"]).size
    acts = [ws.make_act(a, card("a"), clock=clock), ws.make_act(b, card("b"), clock=clock)]
    ws.collect_acts(hub, acts, clock=clock)
    copy = LedgerCopy.from_bytes(only_document(ws.export_ledger(hub, known)).payload)
    before = ws.consortium(a)
    for leaves in (copy.leaves[:-1], copy.leaves[::-1], (*copy.leaves, copy.leaves[-1]), ()):
        forged = Envelope(LedgerCopy.payload_type(), copy.model_copy(update={"leaves": leaves}).to_bytes(), ())
        with pytest.raises(FoedusError) as caught:
            ws.take_ledger(a, Parcel((forged,)).to_bytes())
        assert caught.value.code.split(".")[0] in ("ledger", "fold")
        assert ws.consortium(a) == before


def test_a_wrong_passphrase_is_an_error_of_identity_and_leaves_all_as_it_was(tmp_path):
    hub, _ = joined(tmp_path, passphrase=SESAME)
    with pytest.raises(IdentityError) as caught:
        ws.propose_accord(hub, passphrase=SESAME[::-1], clock=clock)
    assert caught.value.code == "keys.passphrase-wrong"
    with pytest.raises(IdentityError):
        ws.propose_accord(hub, clock=clock)
    assert ws.propose_accord(hub, passphrase=SESAME, clock=clock).accord.version == 1


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    hub, _ = joined(tmp_path)
    (hub.folder / "keys" / "log.pem").chmod(0o640)
    with pytest.raises(IdentityError) as caught:
        ws.propose_accord(hub, clock=clock)
    assert caught.value.code == "keys.readable-by-others"


def test_a_missing_key_is_named(tmp_path):
    hub, _ = joined(tmp_path)
    (hub.folder / "keys" / "log.pem").unlink()
    refused("workspace.key-not-here", IdentityError, lambda: ws.propose_accord(hub, clock=clock))


def test_two_runs_in_one_workspace_are_refused(tmp_path):
    hub, _ = joined(tmp_path, ("bank-a", "bank-b"))

    def second():
        with ws.working(hub):
            raise AssertionError("both hold it")

    with ws.working(hub):
        refused("workspace.busy", RunError, second)
    with ws.working(hub):
        assert (hub.folder / ".run.lock").exists()


def test_practice_makes_joined_workspaces_that_say_what_they_are(tmp_path):
    made = ws.practice(tmp_path / "p", ["bank-a", "bank-b"])
    assert {name: workspace.page.custody for name, workspace in made.items()} == dict.fromkeys(made, "one-process")
    assert made["hub"].page.siblings == {"bank-a": "../bank-a", "bank-b": "../bank-b"}
    ready_draft(made["hub"])
    accord = ws.drafted_accord(made["hub"])
    assert accord.custody == "one-process"
    assert [grant.member for grant in accord.data.grants] == ["bank-a", "bank-b"]
    assert ws.readable_private_keys(made["hub"].folder) == ["bank-a", "bank-b", "hub"]


# ── under separate users ─────────────────────────────────────────────────────

USERS = """
import os, sys, tempfile
from pathlib import Path
from foedus import workspace as ws

top, post = Path(sys.argv[1]), Path(sys.argv[1]) / "post"

def send(name, data):
    (post / name).write_bytes(data)

def got(name):
    return (post / name).read_bytes()

def new(folder):
    ws.create_coordinator(folder, "hub", members=["bank-a", "bank-b"])
    draft = folder / "accord.yaml"
    draft.write_text(draft.read_text().replace("sha256:" + "0" * 64, "sha256:" + "5a" * 32))
    for name in ("bank-a", "bank-b"):
        send(name + ".invitation", ws.invite(ws.open_workspace(folder), name))

def join(folder):
    send(folder.name + ".joined", ws.join(folder, got(folder.name + ".invitation")))

def propose(folder):
    hub = ws.open_workspace(folder)
    for name in ("bank-a", "bank-b"):
        ws.collect_joined(hub, got(name + ".joined"))
    send("offer", ws.propose_accord(hub).parcel)

def sign(folder):
    member = ws.open_workspace(folder)
    send(folder.name + ".act", ws.sign_accord(member, ws.receive_accord(member, got("offer"))))

def collect(folder):
    hub = ws.open_workspace(folder)
    ws.collect_acts(hub, [got("bank-a.act"), got("bank-b.act")])
    send("ledger", ws.export_ledger(hub))

def take(folder):
    state = ws.take_ledger(ws.open_workspace(folder), got("ledger"))
    assert state.accord is not None and len(state.members) == 2

STEPS = [("hub", new), ("bank-a", join), ("bank-b", join), ("hub", propose), ("bank-a", sign),
         ("bank-b", sign), ("hub", collect), ("bank-a", take), ("bank-b", take)]

def under(uid, step, folder):
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
    step(folder)
    assert ws.readable_private_keys(folder) == [folder.name], ws.readable_private_keys(folder)

with tempfile.TemporaryDirectory() as warm:  # load all modules as root: the interpreter may be root's own
    real, post = post, Path(warm) / "post"
    post.mkdir()
    for name, step in STEPS:
        step(Path(warm) / name)
    ws.readable_private_keys(Path(warm) / "hub")
    post = real

users = {"hub": 60001, "bank-a": 60002, "bank-b": 60003}
for name, step in STEPS:
    child = os.fork()
    if not child:
        code = 1
        try:
            under(users[name], step, top / name)
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(f"{name} {step.__name__} failed")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to act as several users")
def test_the_whole_flow_under_separate_users_each_seeing_its_own_folder_only():
    top = Path(tempfile.mkdtemp(prefix="foedus-users-"))
    try:
        top.chmod(0o755)
        (top / "post").mkdir()
        (top / "post").chmod(0o777)
        for uid, name in enumerate(("hub", "bank-a", "bank-b"), start=60001):
            (top / name).mkdir()
            os.chown(top / name, uid, uid)
            (top / name).chmod(0o700)
        done = subprocess.run([sys.executable, "-c", USERS, str(top)], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert (top / "bank-a" / "keys" / "act.pem").stat().st_uid == 60002
    finally:
        shutil.rmtree(top)
