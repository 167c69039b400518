"""What the hub's serving page asks of a running server over its control socket: how it does, and an answer to a text.

The text goes the way of every other: the accord's purpose, the standing of the release, one line before one model, a
rate, the clause on what is kept. In the place of a token stands the party that the pages let in; only processes of the
server's own user reach the socket.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from foedus.core.errors import CallerError, FoedusError, RunError
from foedus.serve.asking import require_all
from foedus.serve.desk import Desk
from foedus.serve.given import Caller
from foedus.serve.predict import Answered
from foedus.serve.tokens import Rate

__all__ = ["APP", "Box"]

APP = "pages"
"""The app under which answers to the page are counted and kept."""
_PER_MINUTE = 60
_TEXT_CHARS = 4000
_LABELS = 10


@dataclass(slots=True)
class Box:
    """`address`: where the server answers over HTTP; `closed`: whether it asks for a token there; `steady`: seconds."""

    desk: Desk
    address: str
    closed: Callable[[], bool]
    steady: Callable[[], float] = time.monotonic
    rate: Rate = field(default_factory=Rate)

    def figures(self) -> dict[str, Any]:
        """How the server does. Milliseconds are decimal strings, over the latest requests to the model; None before
        the first.
        """
        loaded = self.desk.serving()
        accord = loaded.standing.accord
        return {
            "address": self.address,
            "token": self.closed(),
            "standing": loaded.standing.at(self.desk.clock()),
            "uses": sorted(set(accord.purpose.uses) & set(loaded.release.accord.purpose.uses)),
            "keep_days": self.desk.keep_days,
            "waiting": len(loaded.batcher),
            "text_chars": _TEXT_CHARS,
            **self.desk.meters.figures(),
        }

    async def answer(self, party: str, text: str, purpose: str | None) -> dict[str, Any]:
        """The answer to a text that a party typed. Probabilities and milliseconds are decimal strings.

        Raises:
            CallerError: `serve.text-too-long`, `serve.empty-text`; as `Desk.require`.
            RunError: `serve.too-fast`; as `Desk.ask`.
        """
        desk, began, status = self.desk, self.steady(), 200
        release = desk.current.release.name if desk.current else ""
        try:
            return await self._answer(party, text, purpose)
        except FoedusError as error:
            status = 400 if isinstance(error, CallerError) else 503
            raise
        finally:
            desk.meters.request(APP, release, status, self.steady() - began, asks_model=True)

    async def _answer(self, party: str, text: str, purpose: str | None) -> dict[str, Any]:
        if len(text) > _TEXT_CHARS:
            raise CallerError("serve.text-too-long", number=1, got=len(text), limit=_TEXT_CHARS)
        desk, caller = self.desk, Caller(APP)
        loaded = desk.serving()
        chosen = desk.require(loaded, caller, purpose or None)
        if wait := self.rate.wait_seconds(party, _PER_MINUTE, 1, at=self.steady()):
            raise RunError("serve.too-fast", per_minute=_PER_MINUTE, retry_seconds=ceil(wait))
        told = await desk.ask(loaded, [text], caller=caller, purpose=chosen)
        require_all(told.given)
        (given,) = told.given
        assert given.answered is not None  # noqa: S101 - no error stands in its place
        return {
            "id": given.id,
            "release": loaded.release.name,
            "proposal": loaded.release.digest,
            "standing": loaded.standing.at(desk.clock()),
            "purpose": chosen,
            "in_review": given.in_review,
            "queue_ms": _ms(told.queue_seconds),
            "infer_ms": _ms(told.infer_seconds),
            **_shown(given.answered),
        }


def _shown(answered: Answered) -> dict[str, Any]:
    said: Mapping[str, Any] = answered.answer
    sure = sorted(said.get("probabilities", {}).items(), key=lambda one: -one[1])[:_LABELS]
    return {
        "label": said.get("label"),
        "entities": [
            {"type": str(one["type"]), "text": str(one["text"])} for one in said.get("entities", ())
        ],
        "probability": f"{answered.confidence:.4f}",
        "probabilities": [[label, f"{value:.4f}"] for label, value in sure],
        "tokens": answered.tokens,
    }  # fmt: skip


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
