"""What each report says: only of what was verified, only what was measured, worst news first."""

import re

import pytest

from foedus import report
from foedus.core.checks import failed
from foedus.core.errors import CallerError, FoedusError, VerifyError
from foedus.records.accord import ReleaseTerms
from foedus.release.verify import with_checks
from foedus.report.controls import result_of
from foedus.report.render import render
from foedus.track.event import Event
from release.tiny_consortium import LATER, MEMBERS, Consortium, tiny_accord
from report.reading import Read
from report.reports import kept, made


def refused(bundle, anchor):
    weights = bundle / "model" / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return report.look(bundle, anchor=anchor, at=LATER)


def test_a_tampered_bundle_gets_no_certificate_and_no_statement(bundle, world):
    seen = refused(bundle, world.accord.digest)
    for give in (report.certificate, lambda one: report.statement(one, "bank-a")):
        with pytest.raises(VerifyError) as error:
            give(seen)
        assert error.value.code == "release.model-changed"


@pytest.mark.parametrize(
    "name", ["report/examination.json", "report/credit.json", "report/verdicts.json", "accord/accord.json"]
)
def test_a_changed_document_gets_no_certificate(name, bundle, world):
    path = bundle / name
    path.write_bytes(
        path.read_bytes().replace(b"0.9", b"0.8").replace(b"0.3", b"0.4").replace(b"customers", b"customerz")
    )
    with pytest.raises(FoedusError):
        report.certificate(report.look(bundle, anchor=world.accord.digest, at=LATER))


def test_without_an_anchor_there_is_no_certificate(world):
    with pytest.raises(VerifyError) as error:
        report.certificate(report.look(world.folder(), anchor=None, at=LATER))
    assert (error.value.code, error.value.fields["code"]) == ("report.not-verified", "unanchored")


def test_the_certificate_names_who_approved_when_and_by_which_entry(world, released):
    twin = made("certificate", world, released)
    votes = {leaf.entry.actor: leaf for leaf in released.leaves if leaf.entry.type == "vote.cast"}
    assert [(one["member"], one["choice"], one["index"], one["at"]) for one in twin["approvals"]] == [
        (member, "approve", votes[member].index, votes[member].recorded_at) for member in MEMBERS
    ]
    assert twin["valid"]["fresh_until"] == "2027-11-22T08:00:22Z"
    assert (twin["release"]["proposal"], twin["release"]["model"]) == (
        released.proposal.digest,
        released.proposal.model,
    )
    assert [(row["gate"], row["outcome"]) for row in twin["gates"]] == [
        ("artefact", "pass"),
        ("no-harm", "pass"),
        ("utility", "pass"),
    ]


def test_the_statement_reconciles_to_the_whole_and_compares_with_nobody_by_name(world, released):
    twin = made("statement", world, released)
    _, credit = world.evidence
    assert (twin["own"]["value"], twin["own"]["share"]) == ("0.3", "0.333333333")
    assert (twin["credit"]["sum"], twin["credit"]["residual"], twin["credit"]["total"]) == ("0.9", "0.1", "1")
    assert twin["credit"]["digest"] == credit.digest == released.proposal.credit
    assert twin["group"] == {"n": 3, "low": "0.333333333", "median": "0.333333333", "high": "0.333333333"}
    assert twin["rounds"] == {"entered": [1, 2], "missed": [], "rounds": 2}
    text = Read(render(twin)).text
    assert "bank-b" not in text
    assert "bank-c" not in text


def test_what_was_not_agreed_or_not_measured_is_called_so(world, released):
    text = Read(render(made("statement", world, released))).text
    unmeasured = ("Interval of the share: not measured", "second method: not measured", "labels: not measured")
    for words in ("names no formula for a reward", "no deadline for disputes", "no privacy budget", *unmeasured):
        assert words in text, words
    assert "not kept in the ledger" in text


def test_bytes_and_seconds_are_the_logs_and_not_invented(world, released):
    events = [
        Event("working", {"member": "bank-a", "bytes": 1000}),
        Event("answered", {"member": "bank-a", "bytes": 2500, "seconds": 1.25}),
        Event("answered", {"member": "bank-a", "bytes": 500, "seconds": 0.5}),
        Event("answered", {"member": "bank-b", "bytes": 7, "seconds": 9.0}),
    ]
    twin = report.statement(released, "bank-a", events=events)
    assert twin["carried"] == {"bytes_out": 1000, "bytes_in": 3000, "seconds": "1.75"}
    assert re.search("1,000 bytes to it, 3,000 bytes from it, 1.[78] s", Read(render(twin)).text)


def test_a_stranger_to_the_run_gets_no_statement(released):
    with pytest.raises(CallerError) as error:
        report.statement(released, "bank-z")
    assert (error.value.code, error.value.fields["known"]) == ("report.no-such-member", "bank-a, bank-b, bank-c")


def test_withheld_credit_needs_the_object_and_then_shows_this_member_only(tmp_path):
    world = Consortium(tmp_path, accord=tiny_accord(release=ReleaseTerms(licence="Apache-2.0", figures="withheld")))
    world.release()
    options = {"anchor": world.accord.digest, "at": LATER}
    with pytest.raises(CallerError) as error:
        report.statement(report.look(world.folder(), **options), "bank-a")
    assert error.value.code == "report.credit-withheld"
    twin = report.statement(report.look(world.folder(), find=kept(world), **options), "bank-a")
    assert twin["own"]["value"] == "0.3"
    assert {one["member"] for one in twin["figures"]} == {"bank-a"}
    public = report.audit(report.look(world.folder(), find=kept(world), **options))
    assert {one["member"] for one in public["figures"]} == {None}


def test_an_audit_of_a_refused_release_begins_with_what_failed(bundle, world):
    twin = report.audit(refused(bundle, world.accord.digest), rerun=["foedus verify X"])
    assert (twin["verification"]["outcome"], twin["verification"]["code"]) == ("refused", "release.model-changed")
    first = twin["findings"][0]
    assert (first["severity"], first["check"]["name"]) == ("critical", "release.model")
    grades = {one["dimension"]: one["grade"] for one in twin["leaflet"]}
    assert grades["integrity"] == "not-met"
    assert grades["privacy"] == grades["fairness"] == "not-measured"
    results = {one["clause"]: one["result"] for one in twin["controls"]}
    assert results["release.form"] == "fail"
    text = Read(render(twin)).text
    assert "It must not be used." in text
    assert "met by" not in text


def test_an_audit_of_what_cannot_even_be_opened_says_so_in_both_languages(bundle, world):
    (bundle / "model" / "link").symlink_to("/etc/passwd")
    seen = report.look(bundle, anchor=world.accord.digest, at=LATER)
    twin = report.audit(seen)
    assert twin["findings"][0]["check"]["error"]["code"] == "release.link"
    assert twin["controls"] == twin["lineage"] == []
    assert "must not be used" in Read(render(twin)).text
    assert "不得使用" in Read(render(twin, lang="zh")).text


def test_every_clause_of_the_control_table_is_one_of_the_accord(world, released):
    document = released.accord.model_dump(mode="json")
    twin = made("audit", world, released)
    assert len(twin["controls"]) >= 13
    for row in twin["controls"]:
        if row["clause"].startswith("gates."):
            assert row["clause"].removeprefix("gates.") in [gate["name"] for gate in document["gates"]]
            continue
        place = document
        for key in row["clause"].split("."):
            place = place[key]
        assert row["result"] in ("ok", "recorded", "claimed", "warn")


def test_a_control_is_as_good_as_its_worst_check():
    outcome = lambda *names: result_of([{"outcome": name} for name in names])  # noqa: E731
    assert outcome("ok", "recorded") == "recorded"
    assert outcome("recorded", "warn", "ok") == "warn"
    assert outcome("ok", "fail", "warn") == "fail"
    assert outcome() == "not-checked"


def test_the_transcript_has_every_line_of_the_verification_in_order(world, released):
    twin = made("audit", world, released)
    assert [(one["name"], one["outcome"]) for one in twin["verification"]["checks"]] == [
        (check.name, check.outcome) for check in released.seen.checks
    ]
    text = Read(render(twin)).text
    assert all(check.text in text for check in released.seen.checks)
    assert "foedus verify intents-1.0.0.foedus" in text


def test_every_warning_that_a_verification_can_give_has_its_words():
    from foedus.core.messages import LANGUAGES, say
    from foedus.report.audit import SEVERITY

    for lang in LANGUAGES:
        for name in SEVERITY:
            assert all(say(f"report.warned.{name}.{part}", lang=lang) for part in ("criteria", "consequence", "do"))


def test_every_warning_of_the_verifier_has_a_weight():
    import ast
    from pathlib import Path

    import foedus
    from foedus.report.audit import SEVERITY

    found = set()
    for folder in ("release", "ledger"):
        for path in (Path(foedus.__file__).parent / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(func=ast.Name("Check"), args=[ast.Constant(str(name)), ast.Constant("warn"), *_]):
                        found.add(name)
    assert len(found) >= 8
    assert found - SEVERITY.keys() == set()


def test_a_replay_that_fails_makes_the_audit_refuse(world, released):
    from dataclasses import replace

    line = failed("replay.state", "replay.differs", round=1, what="state", expected="a", got="b")
    seen = replace(released, seen=with_checks(released.seen, [line]))
    twin = report.audit(seen)
    assert twin["verification"]["outcome"] == "refused"
    assert {one["clause"]: one["result"] for one in twin["controls"]}["aggregation"] == "fail"


def test_the_run_report_tells_an_unknown_run(world, released):
    with pytest.raises(CallerError) as error:
        report.run_report(released.seen.consortium, "r9", find=kept(world), leaves=(), at=LATER)
    assert error.value.code == "run.unknown"


def test_the_run_report_names_who_was_left_out_and_why(world, released):
    twin = made("run", world, released)
    twin["rounds"][0]["left_out"] = [{"member": "bank-c", "code": "engine.late"}]
    assert "bank-c engine.late" in " ".join(Read(render(twin)).text.split())
    assert twin["members"][0]["entered"] == [1, 2]
    assert twin["rounds"][0]["used"][0]["weight"] == "0.333333333"
