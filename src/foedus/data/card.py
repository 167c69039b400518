"""The data card: what a consortium may know of a member's data. Computed on the member's machine.

Counts are rounded to five. A count below the smallest cell is withheld (null); when that withholds exactly one count
of a part, the next smallest is withheld too, since the total would give the one away.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256

from foedus.core.errors import CallerError
from foedus.data.examples import Example, normalised, words_of
from foedus.data.mapping import DataMapping
from foedus.data.split import PART_NAMES, PartName
from foedus.records import terms
from foedus.records.acts import RegisterCard
from foedus.records.evidence import DataCard, FeedbackSummary, PartSummary, Salted

__all__ = ["check_consents", "make_card", "register_act", "rounded", "salted"]


def rounded(count: int) -> int:
    """A count rounded to the nearest five."""
    return (count + 2) // 5 * 5


def make_card(
    mapping: DataMapping,
    parts: Mapping[PartName, Sequence[Example]],
    *,
    task: terms.Task,
    member: str,
    smallest_cell: int,
    commitments: Mapping[PartName, str],
    learned: int = 0,
) -> DataCard:
    """The card of a data set. Parts without examples (an auditor's train) have no summary. `learned`: how many of the
    training examples came from users' feedback.
    """
    texts = {part: [normalised(example.text) for example in parts.get(part, ())] for part in PART_NAMES}
    everywhere = [text for part in PART_NAMES for text in texts[part]]
    shared = Counter(text for part in PART_NAMES for text in set(texts[part]))
    return DataCard(
        member=member,
        name=mapping.name,
        source=mapping.source,
        licence=mapping.licence,
        consent=mapping.consent,
        collected=mapping.collected,
        languages=mapping.languages,
        description=mapping.description,
        smallest_cell=smallest_cell,
        mapping=mapping.digest,
        parts={
            part: _summary(parts[part], task, smallest_cell=smallest_cell) for part in PART_NAMES if parts.get(part)
        },
        commitments=dict(commitments),
        duplicates=rounded(len(everywhere) - len(set(everywhere))),
        across_parts=rounded(sum(count > 1 for count in shared.values())),
        feedback=FeedbackSummary(
            examples=rounded(learned) if learned >= smallest_cell else None, consent=mapping.feedback.consent
        )
        if mapping.feedback
        else None,
    )


def check_consents(card: DataCard, allowed: Sequence[str]) -> None:
    """Require that what came from feedback rests on a basis that the accord allows (`data.consents`; empty: any).

    Raises: CallerError: `data.feedback-consent`.
    """
    if card.feedback and allowed and card.feedback.consent not in allowed:
        raise CallerError("data.feedback-consent", got=card.feedback.consent, known=", ".join(allowed))


def salted(card: DataCard, *, key: bytes) -> Salted:
    """The card with its salt, as it is stored; its digest is what the ledger holds.

    The salt is derived from the member's key and the card, so the same card always has the same digest.
    """
    salt = hmac.digest(key, b"foedus card salt v1\0" + card.to_bytes(), sha256).hex()[:32]
    return Salted(salt=salt, document=card.model_dump(mode="json"))


def register_act(card: DataCard, stored: Salted) -> RegisterCard:
    """The act that puts a card into the ledger."""
    train = card.parts.get("train")
    return RegisterCard(
        card=stored.digest,
        name=card.name,
        licence=card.licence,
        consent=card.consent,
        examples=train.examples if train else 0,
        parts=dict(card.commitments),
    )


def _summary(examples: Sequence[Example], task: terms.Task, *, smallest_cell: int) -> PartSummary:
    if isinstance(task, terms.TextClassification):
        counts = Counter(example.label for example in examples if example.label is not None)
        lengths = sorted(len(words_of(example.text)) for example in examples)
    else:
        counts = Counter(span.type for example in examples for span in example.spans)
        lengths = sorted(len(example.tokens) for example in examples)
    return PartSummary(
        examples=rounded(len(examples)),
        labels=_withheld({label: counts[label] for label in task.labels}, smallest_cell),
        tokens_median=lengths[(len(lengths) - 1) // 2],
        tokens_p95=lengths[(len(lengths) * 95 + 99) // 100 - 1],
    )


def _withheld(counts: Mapping[str, int], smallest_cell: int) -> dict[str, int | None]:
    small = {label for label, count in counts.items() if count < smallest_cell}
    if len(small) == 1 and len(counts) > 1:
        small.add(min((count, label) for label, count in counts.items() if label not in small)[1])
    return {label: None if label in small else rounded(count) for label, count in counts.items()}
