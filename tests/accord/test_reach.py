"""An accord's texts against what its base model takes: said before anyone signs, and before a run trains."""

import json
import sys

import pytest

from federation import federation
from foedus.accord import compile_plan, reach, reach_findings, require_reach
from foedus.core.errors import CallerError
from foedus.run import start_of
from practised import ACCORD, foedus
from samples import sample_accord


def base(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return folder


def accord(source, tokens):
    sample = sample_accord()
    return sample.model_copy(
        update={
            "base": sample.base.model_copy(update={"source": source}),
            "task": sample.task.model_copy(update={"max_tokens": tokens}),
        }
    )


@pytest.mark.parametrize(
    ("config", "most"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "t5", "n_positions": None}, None),
        ({"model_type": "xlnet", "max_position_embeddings": -1}, None),
        ([], None),
        ("{", None),
        ("[" * 100_000, None),
    ],
)
def test_the_reach_is_what_the_configuration_gives(tmp_path, config, most):
    assert reach(base(tmp_path / "base", config)) == most


def test_a_folder_without_configuration_gives_none(tmp_path):
    assert reach(tmp_path) is None


def test_texts_as_long_as_the_reach_are_fine_and_one_token_more_is_refused(tmp_path):
    folder = base(tmp_path / "base", {"max_position_embeddings": 128})
    require_reach(accord("folder:base", 128), folder)
    with pytest.raises(CallerError) as caught:
        require_reach(accord("folder:base", 129), folder)
    assert (caught.value.code, caught.value.fields["expected"], caught.value.fields["got"]) == (
        "accord.beyond-reach", 128, 129,
    )  # fmt: skip


def test_a_base_model_that_is_not_here_is_found_at_the_start_of_a_run_only(tmp_path, monkeypatch):
    long = 100_000
    assert reach_findings(accord(f"folder:{tmp_path / 'nowhere'}", long)) == []
    assert reach_findings(accord("folder:~nobody-of-this-name/base", long)) == []
    assert reach_findings(accord("package:no-such-package-here", long)) == []
    assert reach_findings(accord("hub:some/model@abc", long)) == []
    base(tmp_path / "some_encoder" / "model", {"max_position_embeddings": 77})
    (tmp_path / "some_encoder" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    [finding] = reach_findings(accord("package:some-encoder", long))
    assert finding.fields["expected"] == 77
    assert "some_encoder" not in sys.modules


def test_accord_check_says_it_and_ends_with_two(tmp_path):
    folder = base(tmp_path / "base", {"model_type": "bert", "max_position_embeddings": 32})
    text = ACCORD.format(
        base=folder, pin="sha256:" + "0" * 64, labels="a, b", members="  - {name: bank-a, roles: [contributor]}",
        grants="    - {member: bank-a, uses: [customer-service], until: 2099-12-31}",
    )  # fmt: skip
    (tmp_path / "accord.yaml").write_text(text)
    answer = foedus("accord", "check", "accord.yaml", at=tmp_path)
    [found] = [one for one in answer.data["findings"] if one["code"] == "accord.beyond-reach"]
    assert (answer.code, found["fields"]["expected"], found["fields"]["got"]) == (2, 32, 64)


def test_a_run_does_not_start_with_texts_longer_than_its_base_model_takes(tmp_path):
    fed = federation(tmp_path / "fed")
    longer = fed.accord.model_copy(update={"task": fed.accord.task.model_copy(update={"max_tokens": 129})})
    with pytest.raises(CallerError) as caught:
        start_of(longer, compile_plan(longer), base=fed.base)
    assert caught.value.code == "accord.beyond-reach"
