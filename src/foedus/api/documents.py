"""The documents of a consortium as results: an accord, verdicts, data cards; each is a record, made to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from foedus.api.show import Page, Table, View, rounded
from foedus.core.messages import say
from foedus.records import accord as records
from foedus.records import evidence

__all__ = ["Accord", "Card", "Verdicts"]


class Accord(View, records.Accord):
    """An accord that a notebook shows: who agrees, on which model, training, gates and vote. Equal to its record."""

    @classmethod
    def shown(cls, accord: records.Accord) -> Accord:
        """The same accord, with a page."""
        return cls.from_bytes(accord.to_bytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, records.Accord) and self.to_bytes() == other.to_bytes()

    __hash__ = records.Accord.__hash__

    def __repr__(self) -> str:
        return (
            f"Accord(name={self.name!r}, version={self.version}, members={len(self.members)}, digest={self.digest!r})"
        )

    def page(self) -> Page:
        """Parties and terms; `foedus.explain` says every clause in words."""
        members = [
            (one.name, ", ".join(say(f"report.role.{role}") for role in one.roles), ", ".join(one.tags) or "–")
            for one in self.members
        ]
        return Page(
            say("api.title.accord", name=self.name, version=self.version),
            (self.purpose.summary, self.digest),
            (
                Table(say("api.heading.members"), head("member", "roles", "tags"), members),
                Table(say("api.heading.terms"), head("clause", "terms"), self._terms()),
            ),
            practice=self.custody == "one-process",
        )

    def _terms(self) -> list[tuple[str, str]]:
        training, outer = self.training, self.aggregation.outer
        gates = [
            ", ".join(f"{key} {value}" if key != "name" else value for key, value in gate.model_dump().items())
            for gate in self.gates
        ]
        return [
            ("purpose.uses", ", ".join(self.purpose.uses)),
            ("valid", f"{self.valid.first} – {self.valid.last}"),
            ("base", self.base.source),
            ("task", f"{self.task.name} ({len(self.task.labels)})"),
            ("training", f"{training.method.name}, {training.rounds}"),
            ("aggregation", f"{self.aggregation.combine.name}, {outer.name}"),
            ("credit", self.credit.name),
            *(("gates", gate) for gate in gates),
            ("release", f"{self.release.form}, {self.release.quorum}, {self.release.licence}"),
        ]


class Verdicts(View):
    """What every gate of the accord says of a release's model, with the figure and threshold of each."""

    def __init__(self, record: evidence.Verdicts, *, practice: bool) -> None:
        self.record = record
        self.practice = practice

    def __len__(self) -> int:
        return len(self.record.verdicts)

    @property
    def clear(self) -> bool:
        """Whether each verdict is a pass; a waiver by vote does not enter here."""
        return bool(self.record.verdicts) and all(one.outcome == "pass" for one in self.record.verdicts)

    def __repr__(self) -> str:
        return f"Verdicts(run={self.record.run!r}, verdicts={len(self)}, clear={self.clear})"

    def page(self) -> Page:
        """A row a verdict."""
        rows = [
            (
                one.gate,
                one.member or say("api.all"),
                one.metric or "–",
                one.threshold,
                str(one.n) if one.estimate is not None else "–",
                rounded(one.estimate),
                f"{rounded(one.low)} – {rounded(one.high)}" if one.estimate is not None else "–",
                say(f"gates.outcome.{one.outcome}"),
            )
            for one in self.record.verdicts
        ]
        columns = head("gate", "member", "metric", "threshold", "n", "estimate", "interval", "verdict")
        title = say("api.title.verdicts", run=self.record.run)
        return Page(title, (), (Table(say("api.heading.verdicts"), columns, rows),), self.practice)


class Card(View):
    """What is known of one member's data: source, licence, consent, counts rounded to five, small ones withheld."""

    def __init__(self, record: evidence.DataCard, *, practice: bool) -> None:
        self.record = record
        self.practice = practice

    def __repr__(self) -> str:
        sizes = {part: one.examples for part, one in self.record.parts.items()}
        return f"Card(member={self.record.member!r}, name={self.record.name!r}, examples={sizes})"

    def page(self) -> Page:
        """Facts, then the labels of each part."""
        card = self.record
        facts = [
            (say("api.column.source"), card.source),
            (say("api.column.licence"), card.licence),
            (say("api.column.consent"), card.consent),
            (say("api.column.collected"), card.collected or "–"),
            (say("api.column.languages"), ", ".join(card.languages) or "–"),
            (say("api.column.duplicates"), str(card.duplicates)),
        ]
        parts = list(card.parts)
        labels = sorted({label for one in card.parts.values() for label in one.labels})
        rows = [(say("api.all-labels"), *(str(card.parts[part].examples) for part in parts))]
        rows += [(label, *(self._count(part, label) for part in parts)) for label in labels]
        columns = [say("api.column.label"), *(say(f"api.part.{part}") for part in parts)]
        title = say("api.title.card", member=card.member, name=card.name)
        tables = (
            Table(say("api.heading.card"), head("fact", "value"), facts),
            Table(say("api.heading.labels"), columns, rows),
        )
        return Page(title, (card.description,) if card.description else (), tables, self.practice)

    def _count(self, part: str, label: str) -> str:
        labels = next(one.labels for name, one in self.record.parts.items() if name == part)
        found = labels.get(label, 0)
        return say("api.withheld") if found is None else str(found)


def head(*columns: str) -> Sequence[str]:
    """The heads of these columns in the language in force."""
    return [say(f"api.column.{column}") for column in columns]
