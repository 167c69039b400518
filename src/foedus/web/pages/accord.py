"""The accord: plain words beside the terms, who signed with which keys, versions and what changed between them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import Response

from foedus.accord import difference, sentences
from foedus.core.errors import CallerError
from foedus.ledger.consortium import Consortium
from foedus.records.accord import Accord
from foedus.web.digits import digest_of, digits
from foedus.web.frame import page as render
from foedus.web.lists import Column, answer, listed
from foedus.web.site import Site, site_of
from foedus.web.table import page

TERMS: dict[str, tuple[str, ...]] = {
    "purpose": ("purpose", "valid"),
    "parties": ("coordinator", "members", "simulated", "custody"),
    "agreeing": ("ratification", "amendment", "version", "prev", "accord", "rules"),
    "model": ("base", "task"),
    "data": ("data",),
    "training": ("training",),
    "combining": ("aggregation",),
    "credit": ("credit",),
    "measuring": ("evaluation",),
    "tuning": ("tune",),
    "gates": ("gates",),
    "release": ("release",),
    "serving": ("serving",),
    "monitoring": ("monitoring",),
    "ledger": ("ledger", "name"),
}
"""Which fields of the accord each part of its explanation is about."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the accord: its name, what it says in sentences, and its terms as they were signed (YAML)."""

    name: str
    said: Sequence[str]
    terms: str


@dataclass(frozen=True, slots=True)
class Signature:
    """A member's signature under an accord, when it is there, and the keys that the accord names."""

    member: str
    roles: tuple[str, ...]
    signed_at: str | None
    entry: int | None
    keys: dict[str, str]


@page("/accord", title="web.title.accord", section="accord")
def newest(request: Request) -> Response:
    """The accord in force; before one is, the one that was proposed last."""
    site = site_of(request)
    state = site.state()
    accord = state.accord or next(reversed(list(state.accords.values())), None)
    if accord is None:
        return render(request, "accord-none.html")
    return _shown(request, site, state, accord)


@page("/accord/versions", title="web.title.versions", section="accord", twins=True)
def versions(request: Request) -> Response:
    """Every accord that was proposed."""
    columns = (
        Column("version", "count", link=lambda row: f"/accord/{digits(row['digest'])}", sorts="version"),
        Column("state", "status", words="web.agreed"),
        Column("signed", "count"),
        Column("members", "count"),
        Column("proposed_at", "instant", sorts="proposed"),
        Column("in_force_at", "instant", sorts="force"),
        Column("until", "instant"),
        Column("digest", "digest", link=lambda row: f"/accord/{digits(row['digest'])}"),
    )
    rows = [
        {
            "version": one.version, "state": _standing(one.in_force_at, one.until), "signed": one.signed,
            "members": one.members, "proposed_at": one.proposed_at, "in_force_at": one.in_force_at,
            "until": one.until, "digest": one.digest,
        }
        for one in site_of(request).index.accords()
    ]  # fmt: skip
    return answer(request, "versions.html", listed(request, "versions", columns, rows, sort="-version"))


@page("/accord/{name}", title="web.title.accord", section="accord")
def version(request: Request, name: str) -> Response:
    """One accord by its digest; with `?against=`, what differs from another."""
    site = site_of(request)
    state = site.state()
    return _shown(request, site, state, _accord(state, name))


def _accord(state: Consortium, name: str) -> Accord:
    found = state.accords.get(digest_of(name))
    if found is None:
        raise CallerError("web.no-such-accord", got=name[:80])
    return found


def _shown(request: Request, site: Site, state: Consortium, accord: Accord) -> Response:
    digest = accord.digest
    others = [one for one in site.index.accords() if one.digest != digest]
    agreed = next(one for one in site.index.accords() if one.digest == digest)
    against = request.query_params.get("against") or (digits(accord.prev) if accord.prev else "")
    older = state.accords.get(digest_of(against)) if against else None
    return render(
        request,
        "accord.html",
        accord=accord,
        digest=digest,
        standing=_standing(agreed.in_force_at, agreed.until),
        agreed=agreed,
        tally=state.tally(digest),
        parts=parts(accord),
        signatures=_signatures(site, accord),
        others=others,
        older=older,
        changes=[(one.path, _value(one.old), _value(one.new)) for one in difference(older, accord)] if older else [],
        anchor=state.anchor,
    )


def parts(accord: Accord) -> list[Part]:
    """Every part in order, in the language in force."""
    data = accord.model_dump(mode="json")
    return [
        Part(name, said, _yaml({field: data[field] for field in TERMS[name] if data.get(field) is not None}))
        for name, said in sentences(accord).items()
    ]


def _signatures(site: Site, accord: Accord) -> list[Signature]:
    signed = {
        act.actor: act for act in site.index.acts(kind="accord.sign", subject=accord.digest, size=500).items
    }  # a member signs once
    return [
        Signature(
            member.name, member.roles, signed[member.name].recorded_at if member.name in signed else None,
            signed[member.name].at if member.name in signed else None, member.keys.model_dump(),
        )
        for member in accord.members
    ]  # fmt: skip


def _standing(in_force_at: str | None, until: str | None) -> str:
    return "unsigned" if in_force_at is None else "past" if until else "in-force"


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=88).strip() if value else ""


def _value(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
