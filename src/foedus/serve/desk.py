"""The desk of a server: which release answers now, whether it may, and what happens to an answer.

A request takes the release that is current when it comes, and keeps it: a swap changes what later requests take, and
the old release answers those that it has, then goes. The ledger is looked at again at the accord's interval; what then
follows (`stop` or `warn`) is decided for each request, at its moment.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from foedus.core.clock import Clock, now, spell
from foedus.core.errors import CallerError, FoedusError, RunError, VerifyError
from foedus.serve.apart import apart
from foedus.serve.batcher import Batcher, Done
from foedus.serve.given import Answers, Caller, Compared, Given, Loaded, Options, Watched, label_of
from foedus.serve.int8 import Agreement, compare, in_int8
from foedus.serve.keeper import Keeper
from foedus.serve.meters import Meters
from foedus.serve.predict import Answered, Predictor, Question
from foedus.serve.standing import Admitted, Source, admit, anchored_like, look_again
from foedus.serve.store import Answer

__all__ = ["Desk"]

log = logging.getLogger("foedus.serve")


class Desk:
    """See the module. Its methods run in the event loop of the server; the model has a thread of its own."""

    def __init__(self, keeper: Keeper, meters: Meters, *, options: Options | None = None, clock: Clock = now) -> None:
        self.keeper, self.meters, self.clock = keeper, meters, clock
        self.options = options or Options()
        self.current: Loaded | None = None
        self.shadow: Loaded | None = None
        self.compared = Compared()
        self.watched = Watched()
        self.closing = False
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._looker = ThreadPoolExecutor(1, thread_name_prefix="looker")
        self._swapping = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._refreshing: asyncio.Task[None] | None = None
        self._asked = 0

    # ── releases ─────────────────────────────────────────────────────────────

    def prepared(self, release: Admitted) -> tuple[Predictor, Agreement | None]:
        """The model to answer with: as released, or in int8, compared where there is a file to compare on."""
        if not self.options.int8:
            return release.predictor, None
        small, file = in_int8(release.predictor), self.options.int8_check
        return small, compare(release.predictor, small, file) if file else None

    def line_of(self, release: Admitted, model: Predictor, int8: Agreement | None = None) -> Loaded:
        """A release with a line of its own before the one model thread."""

        async def call(questions: Sequence[Question]) -> Sequence[Answered]:
            return await asyncio.get_running_loop().run_in_executor(self._model, model.answer, questions)

        batcher = Batcher[Question, Answered](call, self.options.limits, observe=self.meters.batch)
        return Loaded(release, model, batcher, release.standing, int8)

    def open(self, loaded: Loaded, shadow: Loaded | None = None) -> None:
        """Begin to answer with a release; to be called in the event loop."""
        self.current, self.shadow = loaded, shadow
        self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    async def swap(self, source: Source) -> Loaded:
        """Verify and load another release of the same consortium, and let it answer from now on.

        Raises: as `admit`; CallerError `serve.other-consortium`.
        """
        loop = asyncio.get_running_loop()
        async with self._swapping:
            release = await loop.run_in_executor(None, apart, partial(admit, source, self.clock()))
            anchored_like(self.serving().release, release)
            model, int8 = await loop.run_in_executor(None, apart, partial(self.prepared, release))
            before, after = self.serving(), self.line_of(release, model, int8)
            self.current = after
        self._task(before.batcher.drain())
        return after

    def serving(self) -> Loaded:
        """The release that answers now."""
        if self.current is None:
            raise RunError("serve.draining")
        return self.current

    async def _refresh(self) -> None:
        """Look at the ledger again at the accord's interval, and forget texts when their days are over."""
        while True:
            await self._forget()
            await asyncio.sleep(self.serving().standing.terms.refresh_seconds)
            await self.look_again()

    async def look_again(self) -> None:
        """Look at the ledger now."""
        loop = asyncio.get_running_loop()
        for one in filter(None, (self.current, self.shadow)):
            look = partial(look_again, one.release, one.standing, self.clock())
            try:
                one.standing = await loop.run_in_executor(self._looker, look)
            except Exception:  # a bug: what cannot be looked at is not served as if it had been
                log.exception("looking at the ledger of %s failed", one.release.name)
                one.standing = replace(one.standing, code="refused", detail="serve.bug")

    async def _forget(self) -> None:
        before = spell(self.clock() - timedelta(days=self.keep_days))
        with suppress(FoedusError):  # the keeper's own trouble is told in /health
            await asyncio.to_thread(self.keeper.traffic.forget, before)

    @property
    def keep_days(self) -> int:
        """How many days texts stay here: what the accord lets, or less; without a clause, what was chosen."""
        clause, chosen = self.serving().standing.accord.serving, self.options.keep_days
        if clause is None:
            return chosen or 0
        return clause.keep_texts_days if chosen is None else min(chosen, clause.keep_texts_days)

    @property
    def is_ready(self) -> bool:
        """Whether a request that comes now will be answered."""
        loaded = self.current
        return loaded is not None and not self.closing and not loaded.standing.stops(self.clock())

    # ── asking ───────────────────────────────────────────────────────────────

    def require(self, loaded: Loaded, caller: Caller, purpose: str | None) -> str:
        """The purpose of a request, if it may be answered.

        Raises:
            CallerError: `serve.purpose-needed`, `serve.purpose-not-covered`.
            VerifyError: `serve.not-in-force` where the clause says stop.
        """
        moment = self.clock()
        standing = loaded.standing
        if standing.stops(moment):
            name = loaded.release.name
            raise VerifyError("serve.not-in-force", release=name, standing=standing.at(moment), detail=standing.detail)
        agreed = set(standing.accord.purpose.uses) & set(loaded.release.accord.purpose.uses)
        uses = sorted(agreed & set(caller.purposes) if caller.purposes else agreed)
        if purpose is None:
            if len(uses) != 1:
                raise CallerError("serve.purpose-needed", uses=", ".join(uses) or "–")
            return uses[0]
        if purpose not in uses:
            raise CallerError("serve.purpose-not-covered", purpose=purpose, uses=", ".join(uses) or "–")
        return purpose

    async def ask(
        self, loaded: Loaded, texts: Sequence[str], *, caller: Caller, purpose: str, embed: bool = False
    ) -> Answers:
        """Answers in the order of the texts, an error in the place of each that could not be answered.

        Raises: what concerns them all: as `Batcher.ask`.
        """
        wrong = [self._wrong(text, number) for number, text in enumerate(texts, start=1)]
        keeps = self.keep_days > 0
        questions = [
            Question(text, embed or (keeps and self._is_sampled()))
            for text, error in zip(texts, wrong, strict=True)
            if error is None
        ]
        most = loaded.predictor.max_tokens
        sizes = [min(len(question.text.encode()) + 2, most) for question in questions]
        done = iter(await loaded.batcher.ask(questions, sizes, seconds=self.options.seconds) if questions else [])
        given: list[Given] = []
        waited = took = 0.0
        for text, error in zip(texts, wrong, strict=True):
            if error is None:
                one = next(done)
                waited, took = max(waited, one.queue_seconds), max(took, one.infer_seconds)
                given.append(self._give(loaded, text, one, caller.app, purpose, keeps=keeps))
            else:
                given.append(Given("", None, error=error))
        if self.shadow is not None and questions:
            asked = [one for one, error in zip(given, wrong, strict=True) if error is None]
            self._task(self._compare(self.shadow, questions, sizes, asked))
        return Answers(given, waited, took)

    def _wrong(self, text: str, number: int) -> FoedusError | None:
        if not text.strip():
            return CallerError("serve.empty-text", number=number)
        if not _is_unicode(text):
            return CallerError("serve.not-unicode", number=number)
        if len(text) > self.options.text_chars:
            return CallerError("serve.text-too-long", number=number, got=len(text), limit=self.options.text_chars)
        return None

    def _is_sampled(self) -> bool:
        self._asked += 1
        return self._asked % self.options.embedding_every == 0

    def _give(self, loaded: Loaded, text: str, done: Done[Answered], app: str, purpose: str, *, keeps: bool) -> Given:
        if isinstance(done.result, FoedusError):
            return Given("", None, error=done.result)
        if isinstance(done.result, Exception):
            log.error("a text could not be answered", exc_info=done.result)
            return Given("", None, error=RunError("serve.failed"))
        answered, name = done.result, secrets.token_hex(16)
        confidence_bp = round(answered.confidence * 10_000)
        in_review = confidence_bp < loaded.standing.terms.review_below_bp
        self.keeper.keep(
            Answer(
                id=name,
                at=spell(self.clock()),
                release=loaded.release.name,
                app=app,
                purpose=purpose,
                tokens=answered.tokens,
                label=label_of(answered.answer),
                confidence_bp=confidence_bp,
                text=text if keeps else None,
                embedding=answered.embedding if keeps else None,
                state="in-review" if in_review else "answered",
            )
        )
        if in_review:
            self.meters.reviews.inc()
        return Given(name, answered, in_review)

    # ── the shadow ───────────────────────────────────────────────────────────

    async def _compare(
        self, shadow: Loaded, questions: Sequence[Question], sizes: Sequence[int], given: Sequence[Given]
    ) -> None:
        """Ask the shadow the same, and count how often it answers alike. Its answers go nowhere else."""
        try:
            plain = [Question(question.text) for question in questions]
            done = await shadow.batcher.ask(plain, sizes, seconds=self.options.seconds)
        except FoedusError:
            self.compared.left_out += len(questions)
            self.meters.shadow.labels("left-out").inc(len(questions))
            return
        for one, other in zip(given, done, strict=True):
            same = (
                isinstance(other.result, Answered)
                and one.answered is not None
                and label_of(other.result.answer) == label_of(one.answered.answer)
            )
            self.compared.alike += same
            self.compared.other += not same
            self.meters.shadow.labels("alike" if same else "other").inc()

    # ── the end ──────────────────────────────────────────────────────────────

    def _task(self, work: Any) -> None:
        """Do something beside; it is held on to until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Answer what stands in line, write down what was answered, and end the threads."""
        self.closing = True
        if self._refreshing is not None:
            self._refreshing.cancel()
        for one in filter(None, (self.current, self.shadow)):
            await one.batcher.drain()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.keeper.close)
        for executor in (self._model, self._looker):
            executor.shutdown(wait=True, cancel_futures=True)


def _is_unicode(text: str) -> bool:
    """Whether every character of it is one: JSON can bring half of a pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
