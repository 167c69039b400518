"""Every page in Chinese: no word of a state, a metric, a gate or an act is left in English."""

import re

import pytest

from foedus.records import terms
from foedus.records.acts import BODIES
from foedus.web.words import gate_name, metric_name, note_text
from paged import browser, pages, seen

ENGLISH = re.compile(r"[A-Za-z][A-Za-z'’-]+")
TECHNICAL = frozenset(
    {
        "Adam", "Apache", "Aumann", "OpenSSF", "Model", "Signing", "Bearer", "CSV", "F1", "Flower", "Foedus", "HTTP",
        "JSON", "LoRA", "Nesterov", "PDF", "Shapley", "TLS", "URL", "UTC", "YAML", "alpha", "data", "dropout", "foedus",
        "kB", "live", "peft", "python", "safetensors", "sha", "torch", "transformers", "verify", "yaml",
    }
)  # fmt: skip
"""Names of methods, formats and programs, units, and what people type: the same in both languages."""
TERMS = frozenset({"artefact", "no-harm", "utility"})
"""Names of the accord's terms, which its explanation gives in brackets."""
WHOLE_IN_ENGLISH = ("/help/errors",)
"""Lists of error codes with fields and commands: `tests/web/test_catalogue.py` looks at their texts."""


def words_of(text):
    """The English words that people read: not in code, in commands, or in what is marked as English."""
    text = re.sub(r"<(script|style|pre|code|textarea)\b.*?</\1>", " ", text, flags=re.DOTALL)
    text = re.sub(r'<(\w+)[^>]*\blang="en"[^>]*>.*?</\1>', " ", text, flags=re.DOTALL)
    labels = re.findall(r'(?:aria-label|placeholder|alt)="([^"]*)"', text)
    shown = re.sub(r"<[^>]+>", " ", text)
    shown = re.sub(r"&\w+;|\S*[0-9a-f]{8,}\S*|\S+://\S+|\S*/\S+|\S+:\S+", " ", " ".join([shown, *labels]))
    return set(ENGLISH.findall(shown))


def data():
    """What the parties wrote: names, purposes, labels, licences, reasons."""
    state = seen().state()
    accord = state.accord
    said = [accord.to_bytes().decode(), seen().workspace.page.to_bytes().decode()]
    said += [one.act.name for one in state.cards.values()] + list(state.runs) + ["practice-intents", "BANKING"]
    said += [f"{card.act.licence} {card.act.consent}" for card in state.cards.values()]
    return set(ENGLISH.findall(" ".join(said)))


STATES = {
    "accuracy", "macro-f1", "done", "open", "approve", "approved", "object", "rejected", "release", "waive",
    "inprocess", "federated", "alone", "difference", "pass", "fail", "inconclusive", "used", "left-out", "published",
    "voting",
    "aumann-shapley", "artefact", "utility", "no-harm", "all", "member", "coordinator", "contributor",
}  # fmt: skip
"""Words of the records, which are data for the test above because the accord holds them, but never for readers."""


def test_no_word_is_left_in_english_on_a_page_in_chinese():
    known, left = data() - STATES, {}
    for path in pages():
        if path.startswith(WHOLE_IN_ENGLISH):
            continue
        found = words_of(browser().get(path, params={"lang": "zh"}).text) - known - TECHNICAL
        found -= TERMS if path.startswith("/accord") else frozenset()
        if path.startswith(("/cards", "/members", "/audit")):
            found -= {card.act.consent for card in seen().state().cards.values()}
        if found:
            left[path] = sorted(found)
    assert left == {}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_metric_gate_and_kind_of_act_has_a_name(lang):
    from foedus.core.messages import catalogue, set_language

    set_language(lang)
    metrics = [one for task in (terms.TextClassification, terms.TokenClassification) for one in task.metrics]
    for name in metrics:
        assert metric_name(name) == catalogue("gates", lang)["metric"][name]
    for gate in (terms.Utility, terms.NoHarm, terms.Artefact):
        name = gate.model_fields["name"].default
        assert gate_name(name) == catalogue("gates", lang)["gate"][name]
    assert {kind.replace(".", "-") for kind in BODIES} <= catalogue("web", lang)["act"].keys()
    assert metric_name("a-metric-of-later") == "a-metric-of-later"
    set_language("en")


def test_the_note_on_an_act_is_in_words_where_it_is_a_state_and_as_signed_where_it_is_a_name():
    assert note_text("vote.cast", "release approve") == "release · approve"
    assert note_text("vote.close", "run rejected").endswith("rejected")
    assert note_text("run.close", "done") == "done"
    assert note_text("key.rotate", "act") != "act"
    assert note_text("data.register", "questions of customers") == "questions of customers"
    assert note_text("member.leave", "done") == "done"
