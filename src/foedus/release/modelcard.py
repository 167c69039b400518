"""The model card: `model/README.md`, as the Hugging Face hub reads it, with figures that were measured and nothing
else.

The YAML header is data that `verify` derives again from accord, examination and cards; the text below it is for
people, in the language in which the release was built. Figures are the accord's to publish: `withheld` shows those
over all members.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from foedus.core.errors import VerifyError
from foedus.core.messages import say
from foedus.records.accord import Accord
from foedus.records.evidence import DataCard, Examination, Figure

__all__ = ["Facts", "header", "read_header", "render"]

_ARMS = ("federated", "alone", "base", "difference")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card is written from. `cards` are the members' data cards, `anchor` the digest of the first accord."""

    accord: Accord
    anchor: str
    name: str
    version: str
    run: str
    examination: Examination
    cards: Mapping[str, DataCard]


def header(facts: Facts) -> dict[str, Any]:
    """The card's metadata. `model-index` holds the federated model's figures over all members' test parts."""
    accord = facts.accord
    data: dict[str, Any] = {
        "license": accord.release.licence.lower(),
        "library_name": "peft" if accord.release.form == "adapter" else "transformers",
        "pipeline_tag": accord.task.name,
        "tags": ["federated-learning", "foedus", *(["practice"] if accord.custody == "one-process" else [])],
    }
    if accord.base.source.startswith("hub:"):
        data["base_model"] = accord.base.source.removeprefix("hub:").partition("@")[0]
    if languages := sorted({language for card in facts.cards.values() for language in card.languages}):
        data["language"] = languages
    metrics = [
        {
            "type": figure.metric,
            "value": float(figure.estimate),
            "name": f"{figure.metric} (n={figure.n}, {facts.examination.confidence_bp / 100:g} % interval "
            f"{figure.low} to {figure.high})",
        }
        for figure in _shown(facts)
        if figure.arm == "federated" and figure.member is None
    ]
    if metrics:
        dataset = {"type": f"foedus/{accord.name}", "name": f"{accord.name}: the members' test parts"}
        result = {"task": {"type": accord.task.name}, "dataset": dataset, "metrics": metrics}
        data["model-index"] = [{"name": f"{facts.name}-{facts.version}", "results": [result]}]
    return data


def read_header(text: str) -> dict[str, Any]:
    """The metadata of a card's text; VerifyError `release.card-malformed` when it has none."""
    head, mark, rest = text.partition("---\n")
    body, end, _ = rest.partition("\n---\n")
    if head or not mark or not end:
        raise VerifyError("release.card-malformed")
    try:
        value = yaml.safe_load(body)
    except (yaml.YAMLError, RecursionError) as error:
        raise VerifyError("release.card-malformed") from error
    if not isinstance(value, dict):
        raise VerifyError("release.card-malformed")
    return value


def render(facts: Facts) -> str:
    """The whole card in the language in force. The practice line comes first where one process held every key."""
    accord = facts.accord
    head = yaml.safe_dump(header(facts), sort_keys=False, allow_unicode=True, width=1000)
    lines = [f"---\n{head}---", ""]
    if accord.custody == "one-process":
        lines += [f"**{say('release.practice')}**", ""]
    lines += [f"# {facts.name} {facts.version}", "", accord.purpose.summary, ""]
    lines += _uses(accord)
    lines += _figures(facts)
    lines += _data(facts)
    lines += _making(facts)
    lines += [f"## {say('release.card.limits')}", ""]
    lines += [f"- {say(f'release.card.limit.{name}')}" for name in ("measured", "members", "attacks")]
    lines += ["", f"## {say('release.card.verify')}", "", say("release.card.verify-text"), ""]
    lines += ["```", f"foedus verify {facts.name}-{facts.version}.foedus --anchor {facts.anchor}", "```", ""]
    return "\n".join(lines)


def _uses(accord: Accord) -> list[str]:
    prohibited = accord.purpose.prohibited or (say("release.card.none-named"),)
    return [
        f"## {say('release.card.uses')}",
        "",
        f"- {say('release.card.intended')}: {', '.join(accord.purpose.uses)}",
        f"- {say('release.card.prohibited')}: {', '.join(prohibited)}",
        "",
    ]


def _shown(facts: Facts) -> list[Figure]:
    withheld = facts.accord.release.figures == "withheld"
    return [figure for figure in facts.examination.figures if figure.member is None or not withheld]


def _figures(facts: Facts) -> list[str]:
    level = f"{facts.examination.confidence_bp / 100:g}"
    columns = [say(f"release.card.column.{name}") for name in ("who", "arm", "metric", "n", "estimate", "interval")]
    lines = [f"## {say('release.card.figures')}", "", say("release.card.figures-text", level=level), ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    order = sorted(_shown(facts), key=lambda f: (f.member is not None, f.member or "", f.metric, _ARMS.index(f.arm)))
    for figure in order:
        who, arm = figure.member or say("release.card.everyone"), say(f"release.card.arm.{figure.arm}")
        lines.append(
            f"| {who} | {arm} | {figure.metric} | {figure.n} | {figure.estimate} | {figure.low} – {figure.high} |"
        )
    if facts.accord.release.figures == "withheld":
        lines += ["", say("release.card.withheld")]
    return [*lines, ""]


def _data(facts: Facts) -> list[str]:
    lines = [f"## {say('release.card.data')}", ""]
    for member, card in sorted(facts.cards.items()):
        train = card.parts.get("train")
        lines.append(
            say(
                "release.card.data-line",
                member=member,
                name=card.name,
                source=card.source,
                licence=card.licence,
                consent=card.consent,
                examples=train.examples if train else 0,
            )
        )
    return [*lines, ""]


def _making(facts: Facts) -> list[str]:
    accord = facts.accord
    return [
        f"## {say('release.card.making')}",
        "",
        say("release.card.base", source=accord.base.source, licence=accord.base.licence, pin=accord.base.pin),
        say("release.card.method", method=accord.training.method.name, rounds=accord.training.rounds, run=facts.run),
        say("release.card.accord", accord=accord.digest, anchor=facts.anchor, members=len(accord.members)),
        "",
    ]
