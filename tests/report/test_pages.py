"""Every report as a page: self-contained, escaped, whole in both languages, its figures those of the records."""

import re
from decimal import Decimal

import pytest

from foedus import report
from foedus.core import canonical
from foedus.core.digest import sha256
from foedus.core.messages import LANGUAGES
from foedus.report.render import render
from release.tiny_consortium import LATER
from report.reading import Read, leaves
from report.reports import KINDS, audited_world, made, practice_world

both = pytest.mark.parametrize("lang", LANGUAGES)
each = pytest.mark.parametrize("kind", KINDS)


@each
@both
def test_a_page_is_well_formed_names_its_language_and_needs_nothing_else(kind, lang, world, released):
    html = render(made(kind, world, released), lang=lang)
    page = Read(html)
    names = {tag for tag, _ in page.tags}
    assert html.startswith("<!doctype html>")
    assert dict(page.tags)["html"] == {"lang": {"en": "en", "zh": "zh-CN"}[lang]}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "a"}
    attributes = [name for _, attrs in page.tags for name in attrs]
    assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "style", "action")]
    style = " ".join(text for around, text in page.texts if "style" in around)
    assert "url(" not in style
    assert "@import" not in style
    assert (
        "meta",
        {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"},
    ) in page.tags


@each
def test_the_foot_of_a_printed_page_names_release_digest_page_and_time(kind, world, released):
    twin = made(kind, world, released)
    style = " ".join(text for around, text in Read(render(twin)).texts if "style" in around)
    assert 'counter(page) "/" counter(pages)' in style
    named, digest = (
        (twin["run"]["name"], twin["run"]["state"])
        if kind == "run"
        else (twin["release"]["name"], twin["release"]["proposal"])
    )
    foot = re.search(r'@bottom-left \{ content: "([^"]*)"', style)[1]
    plain = re.sub(r"\\([0-9a-f]+) ", lambda found: chr(int(found[1], 16)), foot)
    assert plain == f"{named} · {digest.removeprefix('sha256:')[:12]}"
    assert "made\\20 2026\\2d 11\\2d 23T08\\3a 00\\3a 00Z" in style


@each
@both
def test_every_number_of_a_page_is_one_of_the_data_beside_it_rounded(kind, lang, world, released):
    twin = made(kind, world, released)
    known = set(leaves(twin)) | {str(len(value)) for value in lists(twin)}
    page = Read(render(twin, lang=lang))
    assert page.numbers
    for value, text in page.numbers:
        assert value in known, value
        shown = text.replace(",", "").removesuffix(" %")
        exact = Decimal(value) * (100 if text.endswith("%") else 1)
        places = len(shown.partition(".")[2])
        assert abs(Decimal(shown) - exact) <= Decimal(5).scaleb(-places - 1), (value, text)


def lists(value):
    if isinstance(value, dict):
        for one in value.values():
            yield from lists(one)
    elif isinstance(value, list):
        yield value
        for one in value:
            yield from lists(one)


@each
def test_the_figures_of_a_report_are_those_of_the_records_that_it_names(kind, world, released):
    twin = made(kind, world, released)
    examination, credit = world.evidence
    shown = twin["measured"]["figures"] if kind == "run" else twin["figures"]
    digest = twin["measured"]["digest"] if kind == "run" else twin.get("evidence", examination.digest)
    assert digest == examination.digest
    wanted = [figure.model_dump(mode="json") for figure in examination.figures]
    chosen = {"run": lambda _: True, "audit": lambda _: True, "certificate": lambda one: one["member"] is None,
              "statement": lambda one: one["member"] == "bank-a"}[kind]  # fmt: skip
    assert sorted(map(str, shown)) == sorted(str(one) for one in wanted if chosen(one))
    page = Read(render(twin))
    values = [value for value, _ in page.numbers]
    for one in shown:
        assert all(one[name] in values for name in ("estimate", "low", "high"))
        assert str(one["n"]) in values
    if kind in ("run", "audit"):
        assert [(row["member"], row["value"]) for row in twin["credit"]["members"]] == [
            (one.member, one.value) for one in credit.credits
        ]


ALLOWED = {"n", "foedus", "JSON", "credit", "safetensors", "verify", "run", "show", "export", "replies", "anchor",
           "replay"}  # fmt: skip


@each
def test_no_english_is_left_in_the_chinese_page(kind, world, released):
    twin = made(kind, world, released)
    values = sorted({*leaves(twin), twin.get("made_at", "")}, key=len, reverse=True)
    for around, text in Read(render(twin, lang="zh")).texts:
        if set(around) & {"style", "code", "pre", "data", "svg"}:
            continue
        plain = re.sub(r"`[^`]*`|\b[0-9a-f]{12}\b", " ", text)
        for value in values:
            if len(value) > 1:
                plain = plain.replace(value, " ")
        words = [word for word in re.findall(r"[A-Za-z]{2,}", plain) if word not in ALLOWED]
        assert words == [], f"{text!r}: {words}"


def test_what_the_code_writes_of_a_run_and_of_files_is_said_in_chinese(world, released):
    run, certificate = made("run", world, released), made("certificate", world, released)
    run["run"]["numerics"] = {"batches": "packed rows", "threads": "1 a worker", "torch": "2.12.1"}
    shown = Read(render(run, lang="zh")).text
    assert "批次 紧密排列的行, 线程 每个工作进程 1 个, torch 2.12.1" in shown
    assert "batches packed rows, threads 1 a worker, torch 2.12.1" in Read(render(run, lang="en")).text
    assert "只含 safetensors 与文本" in Read(render(certificate, lang="zh")).text


def test_every_part_of_the_numerics_that_the_code_words_has_its_words():
    from foedus.core.messages import catalogue
    from foedus.run import numerics

    for name, value in numerics().items():
        if name not in ("cpu", "machine", "peft", "precision", "python", "torch", "transformers"):  # names and versions
            assert all(value in catalogue("report", lang)["numeric-value"] for lang in LANGUAGES), name
        if name not in ("peft", "python", "torch", "transformers"):
            assert all(name in catalogue("report", lang)["numeric"] for lang in LANGUAGES), name


def test_the_threshold_on_files_is_known_as_the_gate_writes_it():
    from foedus.gates.artefact import artefact
    from foedus.records import terms
    from foedus.report.wording import threshold_text

    (verdict,) = artefact(terms.Artefact(max_bytes=12345), None)
    assert threshold_text(verdict.threshold, "zh") == "至多 12345 字节；只含 safetensors 与文本；数值全部有限"
    assert threshold_text(">= 0.8", "zh") == ">= 0.8"


@each
def test_no_chinese_is_in_the_english_page(kind, world, released):
    assert re.findall("[\u4e00-\u9fff]+", Read(render(made(kind, world, released), lang="en")).text) == []


@each
def test_both_languages_show_the_same_numbers_and_the_same_data(kind, world, released):
    twin = made(kind, world, released)
    pages = [Read(render(twin, lang=lang)) for lang in LANGUAGES]
    assert pages[0].numbers == pages[1].numbers
    assert [tag for tag, _ in pages[0].tags] == [tag for tag, _ in pages[1].tags]
    digest = sha256(canonical.encode(twin))
    assert all(digest in page.text for page in pages)


@each
def test_the_files_are_the_page_and_the_data_whose_digest_it_names(kind, world, released, tmp_path):
    twin = made(kind, world, released)
    written = report.write(twin, tmp_path / "made.html")
    assert canonical.decode(written.twin.read_bytes()) == twin
    assert written.digest == sha256(written.twin.read_bytes())
    assert written.digest in Read(written.page.read_text(encoding="utf-8")).text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.html", "made.json"]


@each
@both
def test_a_report_of_practice_says_so_before_anything_else(kind, lang, tmp_path_factory, practised_release):
    world, released = practised_release
    page = Read(render(made(kind, world, released), lang=lang))
    body = [text for around, text in page.texts if "body" in around and text.strip()]
    assert body[0].startswith({"en": "practice:", "zh": "演练："}[lang])


@pytest.fixture(scope="module")
def practised_release(tmp_path_factory):
    world = practice_world(tmp_path_factory.mktemp("practice"))
    return world, report.look(world.folder(), anchor=world.accord.digest, at=LATER)


@pytest.fixture(scope="module")
def audited_release(tmp_path_factory):
    world = audited_world(tmp_path_factory.mktemp("audited"))
    return world, report.look(world.folder(), anchor=world.accord.digest, at=LATER)


@each
@both
def test_every_report_is_made_where_an_auditor_holds_a_test_part_alone(kind, lang, audited_release):
    world, released = audited_release
    words = Read(render(made(kind, world, released), lang=lang)).text.split()
    assert ("exam" in words) == (kind in ("certificate", "audit"))
    assert ("official-test" in words) == (kind == "audit")


@each
def test_a_report_of_separate_custody_has_no_practice_line(kind, world, released):
    assert "practice" not in {attrs.get("class") for _, attrs in Read(render(made(kind, world, released))).tags}


HOSTILE = "</style><script>alert('x')</script>\"&\\"


@both
def test_texts_of_others_never_become_markup(lang, world, released):
    twin = report.audit(released, auditor=HOSTILE, rerun=[HOSTILE])
    twin["approvals"][0]["reason"] = HOSTILE
    twin["cards"][0]["source"] = HOSTILE
    twin["release"]["name"] = HOSTILE
    twin["lineage"][0]["actor"] = HOSTILE
    twin["figures"] = [{**one, "member": HOSTILE if one["member"] else None} for one in twin["figures"]]
    page = Read(render(twin, lang=lang))
    assert "script" not in {tag for tag, _ in page.tags}
    assert sum(HOSTILE in text for _, text in page.texts) >= 5


def test_long_lists_are_cut_on_the_page_and_whole_in_the_data(world, released):
    twin = made("audit", world, released)
    twin["lineage"] = [dict(twin["lineage"][0], index=number) for number in range(1000)]
    text = Read(render(twin)).text
    assert "and 940 more" in text
