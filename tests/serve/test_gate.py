"""Who may ask: this machine alone without tokens, else whoever shows one; each for its scope, purpose and rate."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from foedus.core.errors import CallerError, IdentityError
from foedus.serve.gate import OPEN, scope_of
from foedus.serve.tokens import FILE, SCOPES, Rate, Tokens, make_token, revoke_token
from served import TEXTS, Here, told

AT = datetime(2026, 11, 22, tzinfo=UTC)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


# ── without tokens ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.7", "localhost.evil", "[::2]"])
def test_a_foreign_host_is_refused_so_that_no_name_can_be_bound_to_this_machine(host: str) -> None:
    async def story(here: Here) -> None:
        for path in ("/v1/predict", "/health", "/metrics", "/openapi.json"):
            answer = await here.client.post(path, headers={"Host": host}, json={"text": "a"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "serve.foreign-host")

    told(story)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8601", "localhost:1", "LOCALHOST", "[::1]:80"])
def test_this_machines_own_names_are_known(host: str) -> None:
    async def story(here: Here) -> None:
        assert (await here.client.get("/healthz", headers={"Host": host})).status_code == 200

    told(story)


def test_a_page_of_another_site_in_a_browser_here_is_refused() -> None:
    async def story(here: Here) -> None:
        for origin in ("https://evil.example", "null", "http://localhost.evil", "http://["):
            answer = await here.ask("/v1/predict", {"text": "a"}, headers={"Origin": origin})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "serve.foreign-origin")
        own = await here.ask("/v1/predict", {"text": "a"}, headers={"Origin": "http://127.0.0.1:8600"})
        assert own.status_code == 200

    told(story)


# ── with tokens ──────────────────────────────────────────────────────────────


def test_once_there_is_a_token_every_path_but_the_open_ones_asks_for_one(tmp_path: Path) -> None:
    secret = make_token(tmp_path, "shop")

    async def story(here: Here) -> None:
        document = (await here.client.get("/openapi.json")).json()
        for path, methods in document["paths"].items():
            shown = path.replace("{model}", "m").replace("{version}", "1")
            for method in methods:
                bare = await here.client.request(method, shown, json={})
                assert (bare.status_code == 401) == (path not in OPEN), path
        missing = await here.ask("/v1/predict", {"text": "a"})
        assert missing.json()["error"]["code"] == "serve.token-missing"
        assert missing.headers["www-authenticate"] == "Bearer"
        for wrong in ("nonsense", secret + "x", secret[:-1], "foedus_" + "A" * 43, "é"):
            shown = {b"Authorization": f"Bearer {wrong}".encode()}
            refused = await here.ask("/v1/predict", {"text": "a"}, headers=shown)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "serve.token-refused")
        basic = await here.ask("/v1/predict", {"text": "a"}, headers={"Authorization": f"Basic {secret}"})
        assert basic.json()["error"]["code"] == "serve.token-missing"
        good = await here.ask("/v1/predict", {"text": "a"}, headers=bearer(secret))
        assert good.status_code == 200
        named = {**bearer(secret), "Host": "models.bank.example"}
        foreign = await here.ask("/v1/predict", {"text": "a"}, headers=named)
        assert foreign.status_code == 200, "a token is enough, under any name"
        here.desk.keeper.flush()
        assert {one.app for one in here.desk.keeper.traffic.answers()} == {"shop"}

    told(story, folder=tmp_path)


def test_a_token_does_what_its_scopes_say_and_nothing_else(tmp_path: Path) -> None:
    secrets = {scope: make_token(tmp_path, f"for-{scope}", scopes=(scope,)) for scope in SCOPES}
    calls = {
        "predict": ("POST", "/v1/predict", {"text": "a"}),
        "embed": ("POST", "/v1/embeddings", {"input": "a"}),
        "feedback": ("POST", "/v1/feedback", {"prediction_id": "x", "verdict": "right"}),
        "review": ("GET", "/v1/reviews", None),
        "metrics": ("GET", "/metrics", None),
    }

    async def story(here: Here) -> None:
        for scope, (method, path, body) in calls.items():
            assert scope_of(path) == scope
            for other, secret in secrets.items():
                answer = await here.client.request(method, path, json=body, headers=bearer(secret))
                assert (answer.status_code == 403) == (other != scope), (path, other)

    told(story, folder=tmp_path)


def test_a_revoked_token_is_refused_from_the_next_request_and_the_door_stays_closed(tmp_path: Path) -> None:
    secret = make_token(tmp_path, "shop")

    async def story(here: Here) -> None:
        assert (await here.ask("/v1/predict", {"text": "a"}, headers=bearer(secret))).status_code == 200
        revoke_token(tmp_path, "shop")
        assert (await here.ask("/v1/predict", {"text": "a"}, headers=bearer(secret))).status_code == 401
        assert (await here.ask("/v1/predict", {"text": "a"})).status_code == 401

    told(story, folder=tmp_path)


def test_a_file_of_tokens_that_is_lost_or_torn_opens_no_door(tmp_path: Path) -> None:
    secret = make_token(tmp_path, "shop")

    async def story(here: Here) -> None:
        assert (await here.ask("/v1/predict", {"text": "a"}, headers=bearer(secret))).status_code == 200
        (tmp_path / FILE).write_bytes(b"{torn")
        assert (await here.ask("/v1/predict", {"text": "a"}, headers=bearer(secret))).status_code >= 400
        (tmp_path / FILE).unlink()
        for headers in ({}, bearer(secret)):
            assert (await here.ask("/v1/predict", {"text": "a"}, headers=headers)).status_code == 401

    told(story, folder=tmp_path)


def test_a_token_ends_after_its_last_day(tmp_path: Path) -> None:
    secret = make_token(tmp_path, "shop", last="2026-11-22", clock=lambda: AT)
    tokens = Tokens(tmp_path / FILE)
    assert tokens.holder(secret, today="2026-11-22").name == "shop"
    with pytest.raises(IdentityError, match="token-refused"):
        tokens.holder(secret, today="2026-11-23")


def test_a_token_asks_only_for_its_purposes(tmp_path: Path) -> None:
    secret = make_token(tmp_path, "shop", purposes=("marketing",))

    async def story(here: Here) -> None:
        for purpose in (None, "customer-service", "marketing"):
            body = {"text": "a", "purpose": purpose}
            answer = await here.ask("/v1/predict", body, headers=bearer(secret))
            assert answer.status_code in (400, 403), "the accord covers one, the token another: nothing is left"

    told(story, folder=tmp_path)


def test_the_purpose_may_stand_in_a_header_for_clients_that_know_no_such_field() -> None:
    async def story(here: Here) -> None:
        body = {"input": "a"}
        good = await here.ask("/v1/embeddings", body, headers={"X-Foedus-Purpose": "customer-service"})
        wrong = await here.ask("/v1/embeddings", body, headers={"X-Foedus-Purpose": "scoring"})
        assert (good.status_code, wrong.status_code) == (200, 403)

    told(story)


def test_a_token_that_asks_too_fast_is_told_when_to_come_again(tmp_path: Path) -> None:
    secret = make_token(tmp_path, "shop", per_minute=4)

    async def story(here: Here) -> None:
        many = {"texts": [TEXTS[0]] * 3}
        assert (await here.ask("/v1/predict", many, headers=bearer(secret))).status_code == 200
        late = await here.ask("/v1/predict", many, headers=bearer(secret))
        assert (late.status_code, late.json()["error"]["code"]) == (429, "serve.too-fast")
        assert int(late.headers["retry-after"]) in range(25, 31)
        assert (await here.ask("/v1/predict", {"text": "a"}, headers=bearer(secret))).status_code == 200

    told(story, folder=tmp_path)


def test_a_bucket_fills_evenly_and_one_token_does_not_empty_anothers() -> None:
    rate = Rate()
    assert rate.wait_seconds("a", 60, 60, at=0.0) == 0
    assert rate.wait_seconds("a", 60, 1, at=0.0) == pytest.approx(1)
    assert rate.wait_seconds("b", 60, 60, at=0.0) == 0
    assert rate.wait_seconds("a", 60, 10, at=10.0) == 0
    assert rate.wait_seconds("a", 60, 1, at=10.0) == pytest.approx(1)
    assert rate.wait_seconds("a", 60, 600, at=100.0) == 0, "more than a minute's worth, from a full bucket"
    assert rate.wait_seconds("a", 60, 1, at=100.0) == pytest.approx(541)


# ── the file ─────────────────────────────────────────────────────────────────


def test_the_file_holds_no_token_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    secret = make_token(tmp_path, "shop", scopes=("predict", "embed"), purposes=("customer-service",))
    path = tmp_path / FILE
    assert secret.encode() not in path.read_bytes()
    assert secret.removeprefix("foedus_").encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert Tokens(path).holder(secret, today=str(date(2026, 1, 1))).scopes == ("embed", "predict")


def test_a_name_is_given_once_and_wrong_settings_are_refused(tmp_path: Path) -> None:
    make_token(tmp_path, "shop")
    revoke_token(tmp_path, "shop")
    with pytest.raises(CallerError, match="token-known"):
        make_token(tmp_path, "shop")
    with pytest.raises(CallerError, match="no-such-token"):
        revoke_token(tmp_path, "other")
    for wrong in ({"scopes": ("admin",)}, {"per_minute": 0}, {"last": "tomorrow"}, {"purposes": ("Bad Name",)}):
        with pytest.raises(CallerError, match="bad-token"):
            make_token(tmp_path, "other", **wrong)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(CallerError, match="bad-token"):
        make_token(tmp_path, "Big Shop")
