"""The README's ten lines of Python run, and what they give holds."""

import doctest
import shutil

import pytest

import foedus
from api.conftest import BANKS, README, accord_text, python_lines, write_inputs
from foedus.api import consortium, show, trust


def test_both_readmes_show_the_same_lines_of_python():
    def bare(page):
        return [line.partition("  #")[0].rstrip() for line in python_lines(page).splitlines()]

    assert bare(README) == bare(README.with_name("README.zh.md"))


def test_the_readmes_lines_end_with_a_verified_release_and_an_answer(played):
    _, names = played
    seen = names["release"].verify()
    assert seen, seen.code
    assert (seen.outcome, seen.code) == ("verified", "verified")
    assert {check.name: check.outcome for check in seen.checks}["ledger.witnesses"] == "ok"
    [answer] = names["release"].predict(["my card is lost"])
    assert answer["label"] == "card"


@pytest.mark.parametrize("module", [consortium, show, trust])
def test_examples_in_docstrings_run(played, monkeypatch, module):
    folder, names = played
    monkeypatch.chdir(folder)
    known = {"foedus": foedus, "practice": names["practice"]}
    done = doctest.testmod(module, extraglobs=known, optionflags=doctest.ELLIPSIS)
    assert done.failed == 0
    assert done.attempted or module is show


def test_a_practice_that_is_there_is_opened_again_with_all_it_came_to(played):
    folder, names = played
    again = foedus.Practice(folder / "my-consortium")
    assert (again.anchor, again.contributors) == (names["practice"].anchor, list(BANKS))
    assert str(again.outcome("run-1")) == str(names["practice"].outcome())
    report = again.credit()
    assert abs(sum(report.values.values()) - float(report.report.total)) <= float(report.report.tolerance)


def test_the_newest_run_is_meant_unless_one_is_named(played):
    folder, _ = played
    with pytest.raises(foedus.FoedusError) as raised:
        foedus.Practice(folder / "my-consortium").credit("run-7")
    assert (raised.value.code, raised.value.fields["known"]) == ("api.no-run", "run-1")


def test_a_release_answers_only_after_it_was_verified(played, tmp_path):
    _, names = played
    path, anchor = names["release"].path, names["practice"].anchor
    with pytest.raises(foedus.FoedusError) as raised:
        foedus.Release(path).predict(["my card"])
    assert (raised.value.code, raised.value.fields["code"]) == ("api.not-verified", "unanchored")

    copy = shutil.copytree(path, tmp_path / path.name)
    weights = bytearray((copy / "model" / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model" / "model.safetensors").write_bytes(weights)
    assert not foedus.verify(copy, anchor=anchor)
    with pytest.raises(foedus.FoedusError) as raised:
        foedus.Release(copy, anchor=anchor).predict(["my card"])
    assert raised.value.code.startswith("release.")


def test_an_anchor_that_is_no_digest_is_the_callers_mistake(played):
    _, names = played
    with pytest.raises(foedus.FoedusError) as raised:
        foedus.verify(names["release"].path, anchor="sha256:…")
    assert raised.value.code == "verify.bad-anchor"


def test_real_parties_accord_is_not_practised_and_leaves_nothing_behind(tmp_path):
    write_inputs(tmp_path)
    (tmp_path / "accord.yaml").write_text(accord_text(custody="separate"))
    with pytest.raises(foedus.FoedusError) as raised:
        foedus.Practice(tmp_path / "mine", accord=tmp_path / "accord.yaml")
    assert raised.value.code == "practice.real-accord"
    assert not (tmp_path / "mine").exists()


def test_an_accord_that_cannot_work_leaves_nothing_behind(tmp_path):
    text = accord_text().replace("min_members: 2", "min_members: 4")
    (tmp_path / "accord.yaml").write_text(text)
    with pytest.raises(foedus.FoedusError) as raised:
        foedus.Practice(tmp_path / "mine", accord=tmp_path / "accord.yaml")
    assert raised.value.code == "workspace.accord-has-problems"
    assert not (tmp_path / "mine").exists()


def test_data_for_a_stranger_and_a_run_before_any_are_named(tmp_path):
    write_inputs(tmp_path)
    practice = foedus.Practice(tmp_path / "mine", accord=tmp_path / "accord.yaml")
    with pytest.raises(foedus.FoedusError) as raised:
        practice.give("bank-z", tmp_path / "bank-a.csv", source="s", licence="l", consent="c")
    assert (raised.value.code, raised.value.fields["known"]) == ("api.no-such-member", ", ".join(BANKS))
    with pytest.raises(foedus.FoedusError) as raised:
        practice.outcome()
    assert raised.value.code == "api.no-run"
    with pytest.raises(foedus.FoedusError) as raised:
        foedus.Practice(tmp_path / "elsewhere")
    assert raised.value.code == "api.nothing-here"


def test_an_unknown_demo_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(foedus.FoedusError) as raised:
        foedus.run_demo("bankings", tmp_path / "demo")
    assert raised.value.code == "demo.unknown"
