"""`foedus monitor` and `foedus run propose · proposals · vote`, as they are typed."""

import shutil

import pytest

from foedus.serve.watch.settings import FILE
from practised import MEMBERS, done, foedus, published
from watched import answers, judge, serve

RELEASE = "practice-intents-1.0"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A practice consortium with a published release, whose first member serves a stream that shifts."""
    home = shutil.copytree(published(), tmp_path_factory.mktemp("monitored") / "home")
    rows = [*answers(0, 700, release=RELEASE), *answers(700, 400, release=RELEASE, shifted=True)]
    serve(home / "bank-a", rows)
    judge(home / "bank-a", rows[:1000], lambda i: i % (10 if i < 700 else 2) == 0)
    return home


def at(home, *words, member="bank-a", **options):
    return foedus(*words, "--workspace", home / member, at=home, **options)


def test_nothing_is_watched_where_nothing_was_served(home):
    answer = at(home, "monitor", "drift", member="bank-b")
    assert (answer.code, answer.data["code"]) == (2, "monitor.no-traffic")
    assert at(home, "monitor", "alerts", member="bank-b").data["alerts"] == []


def test_the_loop_as_it_is_typed_from_the_look_to_the_vote(home, tmp_path):
    # look, and see what stands
    (home / "bank-a" / FILE).write_text("webhooks:\n  - {name: ops, url: 'http://127.0.0.1:9/'}\n")
    seen = done("monitor", "drift", "--workspace", home / "bank-a", at=home)
    assert (seen["release"], seen["looks"], seen["waiting"], seen["sent"]) == (RELEASE, 3, 200, 0)
    assert {one["measure"] for one in seen["latest"]["figures"]} >= {"labels", "lengths", "confidence", "inputs"}
    assert done("monitor", "drift", "--workspace", home / "bank-a", at=home)["looks"] == 0
    standing = at(home, "monitor", "alerts").data
    levels = {one["measure"]: one["level"] for one in standing["alerts"]}
    assert levels["quality"] == "critical"
    assert levels["labels"] == "warning"
    assert {one["channel"] for one in standing["undelivered"]} == {"ops"}
    said = at(home, "monitor", "feedback").data
    assert (said["judged"], said["wrong"]) == (1000, 220)
    assert {"adwin", "page-hinkley"} <= {one["detector"] for one in said["turns"]}

    # take note, be silent
    (labels,) = (one for one in standing["alerts"] if one["measure"] == "labels")
    noted = done("monitor", "ack", labels["id"], "--note", "a campaign", "--workspace", home / "bank-a", at=home)
    assert (noted["state"], noted["by"], noted["note"]) == ("acknowledged", "bank-a", "a campaign")
    assert done("monitor", "silence", "labels", "--hours", 2, "--workspace", home / "bank-a", at=home)["by"] == "bank-a"
    assert at(home, "monitor", "alerts").data["silences"][0]["measure"] == "labels"
    assert at(home, "monitor", "ack", 999).data["code"] == "monitor.no-such-alert"
    for words in (("ack", "99999999999999999999"), ("ack", 0), ("silence", "all", "--hours", 99999999999),
                  ("drift", "--every", 0), ("drift", "--every", 10**12)):  # fmt: skip
        wrong = at(home, "monitor", *words)
        assert (wrong.code, wrong.data["code"]) == (2, "cli.bad-value"), words

    # what may leave, and a proposal that rests on it
    report = tmp_path / "report.json"
    written = done("monitor", "report", "--out", report, "--workspace", home / "bank-a", at=home)
    assert written["report"]["level"] == "critical"
    how = ("--why", "other questions", "--metric", "accuracy", "--now", "0.50", "--expected", "0.8")
    refused = at(home, "run", "propose", "--evidence", report, *how)
    assert (refused.code, refused.data["code"]) == (2, "run.needs-confirmation")
    wrong = at(home, "run", "propose", "--evidence", report, *how[:-1], "better", "--yes")
    assert (wrong.code, wrong.data["code"]) == (2, "cli.usage")
    for option, value, code in (
        ("--metric", "Accuracy", "run.unknown-metric"), ("--metric", "entity-f1", "run.unknown-metric"),
        ("--why", "", "run.bad-text"), ("--why", "x" * 2001, "run.bad-text"), ("--why", " \n", "run.bad-text"),
        ("--basis", "", "run.bad-text"), ("--basis", "a\x00b", "cli.usage"), ("--now", "9" * 5000, "cli.usage"),
    ):  # fmt: skip
        wrong = at(home, "run", "propose", "--evidence", report, *how, option, value, as_json=False)
        assert (wrong.code, wrong.out) == (2, ""), option
        assert code in wrong.err
    assert "accuracy" in at(home, "run", "propose", "--evidence", report, *how, "--metric", "Accuracy").data["expected"]
    made = at(home, "run", "propose", "--evidence", report, *how, "--yes", "--out", tmp_path / "p.act").data
    done("accord", "sign", "--collect", tmp_path / "p.act", "--workspace", home / "hub", at=home)
    (one,) = done("run", "proposals", "--workspace", home / "hub", at=home)["proposals"]
    assert (one["proposal"], one["by"], one["standing"]) == (made["proposal"], "bank-a", "open")
    assert (one["release"], one["gain"]["now"]) == (RELEASE, "0.5")

    # members vote, the coordinator closes
    votes = []
    for member in MEMBERS[:2]:
        words = ("run", "vote", "last", "--yes", "--out", tmp_path / f"{member}.vote")
        votes += ["--collect", done(*words, "--workspace", home / member, at=home)["file"]]
    first = done("run", "vote", "last", *votes[:2], "--workspace", home / "hub", at=home)
    assert first["outcome"] is None
    assert done("run", "vote", "last", *votes, "--workspace", home / "hub", at=home)["outcome"] == "approved"
    assert done("run", "proposals", "--workspace", home / "hub", at=home)["proposals"][0]["standing"] == "approved"
    late = at(home, "run", "vote", "last", "--object", "--yes", member="bank-c", as_json=True)
    assert (late.code, late.data["code"]) == (6, "fold.vote-closed")


def test_a_run_of_a_proposal_that_does_not_exist_is_refused_by_name(home):
    answer = foedus("run", "start", "--proposal", "abc", "--workspace", home / "hub", at=home)
    assert (answer.code, answer.data["code"]) == (2, "run.no-such-proposal")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_people_read_tables_in_their_language(home, lang):
    for words in (("monitor", "drift"), ("monitor", "feedback"), ("monitor", "alerts"), ("monitor", "report")):
        answer = at(home, *words, "--lang", lang, as_json=False)
        assert answer.code == 0, answer.err
        assert "{" not in answer.out
        assert ("标签" in answer.out or "评价" in answer.out or "监测项" in answer.out) == (lang == "zh")
