"""The commands of a party: the same flow as on paper, typed."""

import json

import pytest
import typer
from typer.testing import CliRunner

from foedus import workspace as ws
from foedus.cli import ledger, member
from foedus.cli.new import new
from foedus.cli.shell import shell
from foedus.cli.sign import sign
from foedus.core.errors import CallerError, FoedusError, IdentityError

APP = typer.Typer()
APP.command("new")(new)
APP.command("sign")(sign)
APP.add_typer(member.app, name="member")
APP.add_typer(ledger.app, name="ledger")


@pytest.fixture(autouse=True)
def _fresh_shell(tmp_path, monkeypatch):
    here = shell()
    for name, value in {"as_json": True, "yes": True, "quiet": False, "passphrase": None}.items():
        monkeypatch.setattr(here, name, value)
    monkeypatch.setattr(here, "workspace", tmp_path / "hub")
    monkeypatch.chdir(tmp_path)


def run(tmp_path, who, *arguments):
    """One call in a party's workspace; gives the object that --json prints."""
    shell().workspace = tmp_path / who
    done = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    if isinstance(done.exception, FoedusError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def ready(tmp_path):
    run(tmp_path, "hub", "new", "hub", "--party", "hub", "--names", "bank-a,bank-b")
    draft = tmp_path / "hub" / "accord.yaml"
    draft.write_text(draft.read_text().replace("sha256:" + "0" * 64, "sha256:" + "5a" * 32))
    for name in ("bank-a", "bank-b"):
        run(tmp_path, "hub", "member", "invite", name, "-o", f"{name}.invitation")
        answer = run(tmp_path, name, "member", "join", f"{name}.invitation")
        run(tmp_path, "hub", "member", "collect", answer["file"])


def test_the_whole_flow_as_it_is_typed(tmp_path):
    ready(tmp_path)
    offer = run(tmp_path, "hub", "sign")
    acts = [run(tmp_path, name, "sign", offer["file"])["file"] for name in ("bank-a", "bank-b")]
    half = run(tmp_path, "hub", "sign", "--collect", acts[0])
    assert half["missing"] == ["bank-b"]
    whole = run(tmp_path, "hub", "sign", "--collect", acts[0], "--collect", acts[1])
    assert whole["indices"] == [1, 2]
    assert whole["in_force"] == whole["anchor"] == offer["accord"]
    run(tmp_path, "hub", "ledger", "export", "copy.ledger")
    assert run(tmp_path, "bank-a", "ledger", "take", "copy.ledger")["in_force"] == offer["accord"]
    shown = run(tmp_path, "bank-a", "ledger", "show")
    assert [entry["type"] for entry in shown["entries"]] == ["accord.propose", "accord.sign", "accord.sign"]
    receipt = run(tmp_path, "bank-a", "ledger", "prove", 1)
    assert (tmp_path / receipt["file"]).read_text().startswith("c2sp.org/tlog-proof@v1\nindex 1\n")
    listed = run(tmp_path, "hub", "member", "list")["members"]
    assert [(one["name"], one["status"]) for one in listed] == [("bank-a", "signed"), ("bank-b", "signed")]
    rotated = run(tmp_path, "bank-a", "member", "rotate-key", "witness")
    left = run(tmp_path, "bank-a", "member", "leave", "--reason", "merger")
    run(tmp_path, "hub", "sign", "--collect", rotated["file"], "--collect", left["file"])
    assert run(tmp_path, "hub", "member", "show", "bank-a")["status"] == "left"


def test_practice_makes_workspaces_that_can_go_on_at_once(tmp_path):
    made = run(tmp_path, "hub", "new", "p", "--practice", 3)
    assert sorted(made["workspaces"]) == ["hub", "member-1", "member-2", "member-3"]
    listed = run(tmp_path, "p/hub", "member", "list")["members"]
    assert {one["status"] for one in listed} == {"joined"}


def test_a_passphrase_comes_from_a_file_or_the_environment_and_is_needed_again(tmp_path):
    words = "open sesame"
    (tmp_path / "secret").write_text(f"{words}\nnot this\n")
    run(tmp_path, "hub", "new", "hub", "--passphrase-file", "secret")
    run(tmp_path, "hub", "member", "invite", "bank-a", "--passphrase-file", "secret")
    with pytest.raises(IdentityError) as caught:
        run(tmp_path, "hub", "member", "invite", "bank-b")
    assert caught.value.code == "keys.passphrase-needed"
    shell().passphrase = words
    run(tmp_path, "hub", "member", "invite", "bank-b")


def test_nothing_is_signed_without_a_yes(tmp_path):
    ready(tmp_path)
    offer = run(tmp_path, "hub", "sign")
    shell().yes = False
    with pytest.raises(CallerError) as caught:
        run(tmp_path, "bank-a", "sign", offer["file"])
    assert caught.value.code == "workspace.declined"
    assert ws.outbox(ws.open_workspace(tmp_path / "bank-a")) == []


@pytest.mark.parametrize(
    "arguments",
    [("new", "x", "--as", "king"), ("new", "x", "--practice", "2", "--names", "a"), ("new", "x", "--as", "member")],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, arguments):
    with pytest.raises(CallerError) as caught:
        run(tmp_path, "hub", *arguments)
    assert caught.value.code == "workspace.bad-option"
    assert not (tmp_path / "x").exists()


def test_an_unknown_party_is_refused_with_the_known_ones(tmp_path):
    ready(tmp_path)
    with pytest.raises(CallerError) as caught:
        run(tmp_path, "hub", "member", "show", "bank-z")
    assert caught.value.fields["known"] == "bank-a, bank-b"
