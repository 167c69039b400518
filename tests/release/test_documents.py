"""What a release says of itself to other tools and to people."""

import json

import pytest
from huggingface_hub import ModelCard

from foedus.core.envelope import Envelope
from foedus.core.errors import VerifyError
from foedus.core.messages import set_language
from foedus.records.evidence import Verdict
from foedus.release import intoto, modelcard
from release.tiny_consortium import MEMBERS, Consortium, tiny_accord


def test_the_hub_reads_the_model_card_and_its_figures(bundle, world):
    text = (bundle / "model/README.md").read_text()
    card = ModelCard(text)
    result, other = card.data.eval_results
    assert other.metric_type == "macro-f1"
    assert (result.metric_type, result.metric_value, result.task_type) == ("accuracy", 0.9, "text-classification")
    assert "n=300" in result.metric_name
    assert card.data.license == "apache-2.0"
    assert card.data.language == ["en"]
    for words in (world.accord.digest, "customer-service", "CC-BY-4.0", "0.85 – 0.95", "bank-b", "--anchor"):
        assert words in text
    assert "practice" not in text


def test_the_card_is_written_in_the_language_in_force_with_the_same_metadata(tmp_path):
    set_language("zh")
    try:
        world = Consortium(tmp_path, accord=tiny_accord(custody="one-process"))
        folder = world.draft().folder
    finally:
        set_language("en")
    text = (folder / "model/README.md").read_text()
    assert "## 用途" in text
    assert text.partition("\n---\n")[2].lstrip().startswith("**演练：")
    assert modelcard.read_header(text)["tags"] == ["federated-learning", "foedus", "practice"]


@pytest.mark.parametrize("text", ["", "# no header", "---\na: [\n---\n", "---\n- a\n---\n", "x\n---\na: 1\n---\n"])
def test_a_card_without_metadata_is_refused(text):
    with pytest.raises(VerifyError) as caught:
        modelcard.read_header(text)
    assert caught.value.code == "release.card-malformed"


def verdict(gate, outcome, member=None):
    return Verdict(gate=gate, outcome=outcome, member=member, threshold=">= 0", reason="x")


@pytest.mark.parametrize(
    ("outcomes", "result"),
    [
        (["pass", "pass"], "PASSED"),
        (["pass", "inconclusive"], "WARNED"),
        (["inconclusive", "fail"], "FAILED"),
        ([], "FAILED"),
    ],
)
def test_the_attestation_is_as_bad_as_the_worst_verdict(outcomes, result):
    verdicts = [verdict("no-harm", outcome, member) for outcome, member in zip(outcomes, MEMBERS, strict=False)]
    digest = "sha256:" + "1" * 64
    said = json.loads(intoto.statement(model=digest, accord=digest, verdicts=verdicts))
    assert said["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert said["predicate"]["result"] == result
    tests = [said["predicate"][f"{kind}Tests"] for kind in ("passed", "warned", "failed")]
    assert sum(map(len, tests)) == len(outcomes)


def test_another_tool_verifies_the_attestation(bundle, world):
    from securesystemslib.dsse import Envelope as Theirs
    from securesystemslib.signer import SSlibKey

    data = (bundle / "attest/gates.test-result.dsse").read_bytes()
    ours = Envelope.from_bytes(data)
    public = world.accord.coordinator.keys.act.removeprefix("ed25519:")
    key = SSlibKey(ours.signatures[0].keyid, "ed25519", "ed25519", {"public": public})
    assert list(Theirs.from_dict(json.loads(data)).verify([key], 1)) == [ours.signatures[0].keyid]
