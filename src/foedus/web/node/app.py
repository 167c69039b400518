"""The pages of a member's node: what is asked of me, journal, card, accord, votes; hold the node, let it go on.

    build(Desk(…), Keeper(…)) -> FastAPI

Every route but the link and the locked page wants a session of this start; every form its mark; `guard` sees to both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from foedus.accord.explain import sentences
from foedus.core.errors import CallerError, FoedusError, IdentityError, RunError
from foedus.core.messages import error_text
from foedus.core.version import version
from foedus.hub.reception import Turnstile
from foedus.release.paper import reason_text
from foedus.resident.pause import go_on, pause
from foedus.web.door.guard import Rule, guard
from foedus.web.door.roles import EVERYONE, PARTIES
from foedus.web.door.routes import give_cookie
from foedus.web.frame import page
from foedus.web.look import Looking
from foedus.web.node.desk import Desk
from foedus.web.node.keeper import LOCKED, Keeper
from foedus.web.node.runs import RunVotes
from foedus.web.node.vote import Votes
from foedus.web.table import STATIC
from foedus.web.unforeseen import Unforeseen

__all__ = ["RULES", "SECTIONS", "build"]

SECTIONS = (("/", "node"), ("/journal", "journal"), ("/card", "card"), ("/accord", "accord"), ("/votes", "votes"))
"""The entries of the navigation: where each leads, and its name."""

RULES: dict[tuple[str, str], Rule] = {
    ("GET", STATIC): Rule(EVERYONE),
    ("GET", LOCKED): Rule(EVERYONE),
    ("GET", "/enter"): Rule(EVERYONE),
    **{("GET", path): Rule(PARTIES) for path, _ in SECTIONS},
    ("GET", "/votes/{digest}"): Rule(PARTIES),
    ("POST", "/votes/{digest}/look"): Rule(PARTIES),
    ("POST", "/votes/{digest}"): Rule(PARTIES),
    ("GET", "/votes/run/{entry}"): Rule(PARTIES),
    ("POST", "/votes/run/{entry}/look"): Rule(PARTIES),
    ("POST", "/votes/run/{entry}"): Rule(PARTIES),
    ("POST", "/pause"): Rule(PARTIES),
    ("POST", "/go-on"): Rule(PARTIES),
}
"""For whom each route is."""

_ROWS = 50
_STATUS = {1: 503, 2: 400, 3: 403, 4: 504, 6: 409}


def build(
    desk: Desk, keeper: Keeper, *, turnstile: Turnstile | None = None, steady: Callable[[], float] = time.monotonic
) -> FastAPI:
    """The application over a member's desk. `turnstile` bounds attempts to enter; `steady` gives seconds."""
    app = FastAPI(title="Foedus node", version=version(), openapi_url=None, docs_url=None, redoc_url=None)
    app.state.site = desk
    votes, runs = Votes(desk), RunVotes(desk)
    gate = turnstile or Turnstile(burst=20, a_second=0.5)

    def show(request: Request, name: str, section: str, **values: Any) -> Response:
        request.state.section = section
        return page(request, f"node/{name}", sections=SECTIONS, paused=desk.paused_since(), **values)

    def locked(request: Request) -> Response:
        return page(request, "node/locked.html", sections=(), paused=None)

    def enter(request: Request) -> Response:
        if not gate.admits(request.client.host if request.client else "", steady()):
            raise RunError("door.too-often")
        if request.headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
            raise IdentityError("door.link-from-elsewhere")
        token = keeper.enter(request.query_params.get("token", ""))
        if token is None:
            raise IdentityError("node_page.wrong-link")
        return give_cookie(RedirectResponse("/", 303), keeper.places, token, samesite="strict")

    def node(request: Request) -> Response:
        journal = desk.journal()
        return show(
            request, "node.html", "node", standing=desk.standing(), hub=desk.hub.address, tally=desk.tally(journal),
            working=[one for one in journal if one.event == "reserved"],
            last=[one for one in journal if one.event != "reserved"][:5], waiting=desk.waiting(),
            runs_waiting=runs.waiting(),
            troubles=[(at, error_text(error)) for at, error in desk.troubles()], at_folder=str(desk.home.folder),
        )  # fmt: skip

    def journal(request: Request) -> Response:
        lines, number = desk.journal(), _page_number(request)
        shown = lines[(number - 1) * _ROWS : number * _ROWS]
        more = len(lines) > number * _ROWS
        return show(request, "journal.html", "journal", rows=shown, number=number, more=more, total=len(lines))

    def card(request: Request) -> Response:
        return show(request, "card.html", "card", card=desk.card())

    def accord(request: Request) -> Response:
        state = desk.state()
        said = sentences(state.accord) if state.accord else {}
        signed = sorted(state.signed.get(state.accord_digest or "", ()))
        return show(request, "accord.html", "accord", accord=state.accord, said=said, signed=signed)

    def all_votes(request: Request) -> Response:
        return show(request, "votes.html", "votes", proposals=desk.proposals(), runs=runs.all(), party=desk.home.party)

    def vote(request: Request) -> Response:
        digest = request.path_params["digest"]
        proposal, looked = votes.proposal(digest), votes.looked(digest)
        answer = show(
            request, "vote.html", "votes", proposal=proposal, looked=looked, mark=votes.mark(digest),
            mine=proposal.votes.get(desk.home.party), party=desk.home.party, locked=votes.is_locked(),
            tally=desk.state().tally(proposal.digest, matter="release"),
            error=error_text(looked.error) if looked and looked.error else None, reason=reason_text,
        )  # fmt: skip
        if looked is not None and not looked.ready:
            answer.headers["refresh"] = "1"
        return answer

    def look(request: Request) -> Response:
        proposal = votes.proposal(request.path_params["digest"])
        votes.look(proposal.digest)
        return RedirectResponse(f"/votes/{proposal.digest}", 303)

    async def cast(request: Request) -> Response:
        digest = votes.proposal(request.path_params["digest"]).digest
        await _signed(request, votes.cast, digest)
        return RedirectResponse(f"/votes/{digest}", 303)

    def run(request: Request) -> Response:
        shown = runs.shown(request.path_params["entry"])
        return show(
            request, "run.html", "votes", shown=shown, mark=runs.mark(shown), party=desk.home.party,
            locked=votes.is_locked(),
        )  # fmt: skip

    def look_at_run(request: Request) -> Response:
        desk.sync()
        return RedirectResponse(f"/votes/run/{runs.shown(request.path_params['entry']).entry}", 303)

    async def cast_on_run(request: Request) -> Response:
        entry = runs.shown(request.path_params["entry"]).entry
        await _signed(request, runs.cast, entry)
        return RedirectResponse(f"/votes/run/{entry}", 303)

    def hold(_: Request) -> Response:
        pause(desk.home, desk.clock)
        return RedirectResponse("/", 303)

    def let_go(_: Request) -> Response:
        go_on(desk.home)
        return RedirectResponse("/", 303)

    handlers: dict[tuple[str, str], Callable[..., Any]] = {
        ("GET", LOCKED): locked, ("GET", "/enter"): enter, ("GET", "/"): node, ("GET", "/journal"): journal,
        ("GET", "/card"): card, ("GET", "/accord"): accord, ("GET", "/votes"): all_votes,
        ("GET", "/votes/{digest}"): vote, ("POST", "/votes/{digest}/look"): look, ("POST", "/votes/{digest}"): cast,
        ("GET", "/votes/run/{entry}"): run, ("POST", "/votes/run/{entry}/look"): look_at_run,
        ("POST", "/votes/run/{entry}"): cast_on_run,
        ("POST", "/pause"): hold, ("POST", "/go-on"): let_go,
    }  # fmt: skip
    for (method, path), handler in handlers.items():
        app.router.add_route(path, handler, methods=[method], include_in_schema=False)
    app.mount(STATIC, StaticFiles(directory=Path(str(files("foedus.web") / "static"))), name="static")
    app.add_exception_handler(FoedusError, _refused)
    guard(app, keeper, RULES, told=_told)
    app.add_middleware(Unforeseen, told=_told)
    app.add_middleware(Looking)
    return app


async def _signed(request: Request, cast: Callable[..., bool], subject: str) -> None:
    """Have a vote signed as its form says; CallerError `node_page.incomplete`."""
    form = await request.form()
    choice, reason = str(form.get("choice", "")), str(form.get("reason", "")).strip()
    if choice not in ("approve", "object") or form.get("read") != "yes" or (choice == "object" and not reason):
        raise CallerError("node_page.incomplete")
    await run_in_threadpool(
        cast, subject, "approve" if choice == "approve" else "object", reason=reason,
        passphrase=str(form.get("passphrase", "")), mark=str(form.get("mark", "")),
    )  # fmt: skip


def _page_number(request: Request) -> int:
    wish = request.query_params.get("page", "1")
    return max(1, int(wish)) if wish.isascii() and wish.isdigit() and len(wish) < 9 else 1


def _refused(request: Request, error: Exception) -> Response:
    """An error that Foedus foresees: what was expected, what was got, what to do."""
    assert isinstance(error, FoedusError)  # noqa: S101 - registered for it alone
    absent = error.code in ("release.no-such-release", "run.no-such-proposal")
    status = 404 if absent else _STATUS.get(error.exit_code, 500)
    return page(request, "node/error.html", status=status, sections=SECTIONS, paused=None, error=error_text(error))


def _told(scope: Any, error: FoedusError, status: int) -> tuple[bytes, str]:
    """What no page answered, as a page."""
    shown = page(Request(scope), "node/error.html", status=status, sections=(), paused=None, error=error_text(error))
    return bytes(shown.body), shown.headers["content-type"]
