"""A release is verified before it is served, and looked at again as long as it is; the accord says what follows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foedus.core.clock import now
from foedus.core.errors import CallerError, VerifyError
from foedus.serve.predict import Question
from foedus.serve.standing import Admitted, Source, admit, look_again
from practised import anchor, bundle
from served import TEXTS, Here, admitted, first, revoke, second, source, told, under

OTHER = "sha256:" + "7" * 64


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A copy of the practice consortium, to be changed."""
    return shutil.copytree(first(), tmp_path / "home")


def of(home: Path) -> Admitted:
    """The first release as it stands in a copied home; its model is loaded once for all."""
    return replace(admitted(), source=source(home))


# ── before ───────────────────────────────────────────────────────────────────


def test_what_does_not_verify_is_not_loaded(home: Path) -> None:
    good = source(home)
    cases = [
        (replace(good, anchor=OTHER), "release.anchor-not-found"),
        (replace(good, anchor=None), "serve.undecided"),
        (replace(good, path=home / "nothing"), "files.missing"),
    ]
    for wrong, code in cases:
        with pytest.raises((VerifyError, CallerError)) as caught:
            admit(wrong, now())
        assert caught.value.code == code
    weights = bundle(home) / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(VerifyError, match="model-changed"):
        admit(good, now())


def test_a_stale_or_ended_one_is_not_loaded(home: Path) -> None:
    with pytest.raises(VerifyError, match="stale"):
        admit(source(home), now() + timedelta(days=366))
    with pytest.raises(VerifyError, match=r"serve\.accord-ended|stale"):
        admit(source(home), datetime(2100, 1, 1, tzinfo=UTC))


def test_a_revoked_one_is_not_loaded_when_the_newer_ledger_says_so(home: Path) -> None:
    before = shutil.copytree(bundle(home), home / "before.foedus")
    revoke(home, bundle(home))
    with pytest.raises(VerifyError, match="revoked"):
        admit(Source(before, anchor(home), home / "hub" / "ledger"), now())
    assert admit(Source(before, anchor(home)), now()).standing.code == "in-force", "an old copy cannot know"


def test_a_model_that_is_written_to_after_it_was_loaded_answers_as_before(home: Path) -> None:
    release = admit(source(home), now())
    before = release.predictor.answer([Question(TEXTS[0])])
    weights = bundle(home) / "model" / "model.safetensors"
    with weights.open("r+b") as file:
        file.seek(-20_000, 2)
        file.write(b"\x7f" * 20_000)
    assert release.predictor.answer([Question(TEXTS[0])]) == before


# ── as long as it is served ──────────────────────────────────────────────────


def test_nothing_is_verified_again_while_the_ledger_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = of(home)
    looked = look_again(release, release.standing, now())
    monkeypatch.setattr(Source, "verify", lambda *_: pytest.fail("verified again"))
    again = look_again(release, replace(looked, heads=release.source.heads()), now())
    assert again.code == "in-force"


def test_a_newer_release_is_told_and_stops_nothing() -> None:
    release = of(second())
    standing = look_again(release, release.standing, now())
    assert (standing.code, standing.detail) == ("replaced", "practice-intents-1.1")
    assert not standing.stops(now())


def test_a_bundle_that_is_gone_or_changed_is_refused_and_a_torn_ledger_is_read_twice(home: Path) -> None:
    release, pauses = of(home), []
    checkpoint = bundle(home) / "ledger" / "checkpoint"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-5])

    def mend(seconds: float) -> None:
        pauses.append(seconds)
        checkpoint.write_bytes(whole)

    assert look_again(release, replace(release.standing, heads=()), now(), mend).code == "in-force"
    assert pauses
    shutil.rmtree(bundle(home))
    gone = look_again(release, release.standing, now(), lambda _: None)
    assert gone.code == "refused"
    assert gone.stops(now())


@pytest.mark.parametrize("on_change", ["stop", "warn"])
def test_a_revoked_release_stops_or_warns_as_the_accord_says(home: Path, on_change: str) -> None:
    release = under(of(home), on_change=on_change)

    async def story(here: Here) -> None:
        assert (await here.ask("/v1/predict", {"text": TEXTS[0]})).status_code == 200
        revoke(home, bundle(home), reason="a label was wrong")
        await here.desk.look_again()
        loaded = here.desk.serving()
        loaded.standing = replace(loaded.standing, terms=release.standing.terms)
        answer = await here.ask("/v1/predict", {"text": TEXTS[0]})
        health = (await here.client.get("/health")).json()
        assert answer.headers["x-foedus-standing"] == "revoked"
        assert health["standing"]["code"] == "revoked"
        assert health["standing"]["detail"] == "a label was wrong"
        assert (await here.client.get("/healthz")).status_code == 200
        ready = (await here.client.get("/readyz")).status_code
        if on_change == "stop":
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "serve.not-in-force")
            assert (health["status"], ready) == ("stopped", 503)
            for path, body in (("/v1/embeddings", {"input": "a"}), ("/invocations", {"inputs": ["a"]})):
                assert (await here.ask(path, body)).status_code == 503
        else:
            assert answer.status_code == 200
            assert answer.json()["standing"] == "revoked"
            assert any("was revoked (a label was wrong)" in notice for notice in answer.json()["notices"])
            assert (health["status"], ready) == ("warning", 200)

    told(story, release)


def test_a_ledger_that_grows_old_and_an_accord_that_ends_are_seen_at_each_request() -> None:
    async def story(here: Here) -> None:
        here.clock.moment += timedelta(days=400)
        stale = await here.ask("/v1/predict", {"text": TEXTS[0]})
        assert (stale.status_code, stale.headers["x-foedus-standing"]) == (503, "stale")
        here.clock.moment = datetime(2100, 1, 1, tzinfo=UTC)
        ended = await here.ask("/v1/predict", {"text": TEXTS[0]})
        assert (ended.status_code, ended.headers["x-foedus-standing"]) == (503, "ended")

    told(story)


def test_a_fault_in_looking_again_does_not_leave_a_release_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("foedus.serve.desk.look_again", broken)

    async def story(here: Here) -> None:
        await here.desk.look_again()
        assert (await here.ask("/v1/predict", {"text": TEXTS[0]})).status_code == 503

    told(story)


# ── swapped, and beside another ──────────────────────────────────────────────


def test_a_swap_changes_what_answers_and_no_request_in_between_fails() -> None:
    import asyncio

    async def story(here: Here) -> None:
        statuses: list[tuple[int, str]] = []
        going = True

        async def ask() -> None:
            while going:
                answer = await here.ask("/v1/predict", {"texts": list(TEXTS)})
                statuses.append((answer.status_code, answer.json()["release"]))

        asking = [asyncio.create_task(ask()) for _ in range(8)]
        folder = second() / "hub" / "releases"
        for name in ("1.1", "1.0", "1.1"):
            await here.desk.swap(source(second(), folder / f"practice-intents-{name}.foedus"))
        going = False
        await asyncio.gather(*asking)
        assert {status for status, _ in statuses} == {200}
        assert {release for _, release in statuses} == {"practice-intents-1.0", "practice-intents-1.1"}
        assert (await here.ask("/v1/predict", {"text": "a"})).json()["release"] == "practice-intents-1.1"

    told(story, of(second()))


def test_a_swap_to_what_does_not_verify_leaves_all_as_it_was(home: Path) -> None:
    async def story(here: Here) -> None:
        for wrong in (replace(source(home), anchor=OTHER), replace(source(home), path=home / "nothing")):
            with pytest.raises((VerifyError, CallerError)):
                await here.desk.swap(wrong)
        stranger = replace(here.desk.serving().release, anchor=OTHER)
        here.desk.serving().release = stranger
        with pytest.raises(CallerError, match="other-consortium"):
            await here.desk.swap(source(home))
        assert (await here.ask("/v1/predict", {"text": "a"})).status_code == 200

    told(story)


def test_a_shadow_is_asked_the_same_compared_and_never_returned() -> None:
    import asyncio

    shadow = replace(admitted(), name="other-1.0")

    async def story(here: Here) -> None:
        body = (await here.ask("/v1/predict", {"texts": [*TEXTS, ""]})).json()
        assert body["release"] == "practice-intents-1.0"
        await asyncio.gather(*here.desk._tasks)
        health = (await here.client.get("/health")).json()
        assert health["shadow"] == {"release": "other-1.0", "alike": 3, "other": 0, "left_out": 0}
        here.desk.keeper.flush()
        assert {one.release for one in here.desk.keeper.traffic.answers()} == {"practice-intents-1.0"}

    told(story, shadow=shadow)


def test_publishing_twice_makes_the_first_the_previous_one() -> None:
    release = admit(source(second(), second() / "hub/releases/practice-intents-1.1.foedus"), now())
    assert release.proposal.previous == admitted().digest
