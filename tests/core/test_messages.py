"""The catalogue: both languages say the same things, in the glossary's words, and every error is there.

What these tests read is the source itself: `CallerError("room.what", …)`, `failed("check", "room.what", …)`.
"""

import ast
import errno
import os
import re
import string
import sys
from functools import cache
from pathlib import Path

import pytest

import foedus
from foedus.core.errors import RunError
from foedus.core.files import write_atomic
from foedus.core.messages import LANGUAGES, catalogue, error_text, language, rooms, say, set_language

SOURCE = Path(foedus.__file__).parent
ERRORS = {"FoedusError", "CallerError", "RunError", "IdentityError", "LateError", "VerifyError"}
CODE = re.compile(r"[a-z][a-z0-9_-]*\.[a-z][a-z0-9.-]*")

# Where the English text has the first word, the Chinese one has one of the others.
WORDS = {
    "accord": "盟约",
    "clause": "条款",
    "member": "成员",
    "coordinator": "协调方",
    "auditor": "审计方",
    "ledger": "账本",
    "release": "发布",
    "gate": "门禁",
    "verdict": "裁定",
    "waiver": "豁免",
    "round": "轮",
    "base model": "基础模型",
    "adapter": "适配器",
    "card": "说明卡|数据卡|模型卡",
    "credit": "贡献",
    "evidence": "证据",
    "anchor": "锚",
    "proposal": "提案",
    "snapshot": "快照",
    "checkpoint": "检查点",
    "witness": "见证",
    "journal": "日志账",
    "vote": "表决|票",
    "revoked": "撤销",
}
# Words that the glossary replaces: none of them is used for a member, a gate, a ledger or an accord.
STRANGERS = {
    "en": r"\b(client|clients|site|sites|blockchain|contract|treaty)\b",
    "zh": "客户端|站点|节点方|参与方|区块链|合约|协议书|关卡|闸门|台账|公约|版本发行|练习|中枢",
}


@cache
def sources():
    """Every module of Foedus, parsed: its path below src/foedus, and its nodes."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        nodes = tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        found.append((path.relative_to(SOURCE), nodes))
    return found


def entries(table, path=()):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from entries(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


@cache
def texts(lang):
    return {f"{room}.{key}": text for room in rooms() for key, text in entries(catalogue(room, lang))}


def placeholders(text):
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name is not None})


def raised():
    """Every error code that the source names, with where; and the fields given beside it (None: not all are seen)."""
    found = {}
    for path, nodes in sources():
        for node in nodes:
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            place = 0 if name in ERRORS else 1 if name == "failed" else None
            if place is None or len(node.args) <= place:
                continue
            fields = {keyword.arg for keyword in node.keywords}
            for code in codes(node.args[place]):
                where = f"{path}:{node.lineno}"
                found.setdefault(code, []).append((where, None if None in fields else fields))
    return found


def codes(node=None):
    """The codes that an expression may give: a text, or one of two. (See `beginnings` for those put together.)"""
    match node:
        case ast.Constant(value=str(text)) if CODE.fullmatch(text):
            return [text]
        case ast.IfExp(body=body, orelse=orelse):
            return [*codes(body), *codes(orelse)]
    return []


def beginnings():
    """The beginnings of codes that are put together: `f"accord.not-{kind}"` or `"combine." + name`."""
    found = set()
    for _, nodes in sources():
        for node in nodes:
            match node:
                case (
                    ast.JoinedStr(values=[ast.Constant(value=str(text)), *_])
                    | ast.BinOp(left=ast.Constant(value=str(text)))
                ):
                    found |= {text} if re.fullmatch(r"[a-z]+\.[a-z-]*", text) else set()
    return tuple(found)


def calls(*functions):
    """Every call of these functions or methods: where, its arguments, and the fields given (None: not all are seen)."""
    for path, nodes in sources():
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if name in functions:
                    fields = {keyword.arg for keyword in node.keywords}
                    yield f"{path}:{node.lineno}", node.args, None if None in fields else fields


def named():
    """Every text of the source that looks like a code: a code may be chosen before it is raised."""
    found = set()
    for _, nodes in sources():
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {node.value} if CODE.fullmatch(node.value) else set()
    return found


def errors(lang):
    return {key.rpartition(".")[0].replace(".error.", ".") for key in texts(lang) if ".error." in key}


def test_both_languages_have_the_same_rooms_keys_and_fields():
    assert LANGUAGES == ("en", "zh")
    english, chinese = texts("en"), texts("zh")
    assert sorted(english) == sorted(chinese)
    assert [key for key in english if placeholders(english[key]) != placeholders(chinese[key])] == []


def test_every_error_says_three_things_and_no_more():
    for lang in LANGUAGES:
        for room in rooms():
            for name, parts in catalogue(room, lang).get("error", {}).items():
                assert sorted(parts) == ["do", "expected", "got"], f"{lang} {room}.{name}"
                assert all(parts.values()), f"{lang} {room}.{name}"


def test_every_error_that_is_raised_is_in_the_catalogue():
    known = errors("en")
    assert {code: [where for where, _ in uses] for code, uses in raised().items() if code not in known} == {}


def test_every_error_of_the_catalogue_is_raised_somewhere():
    assert {code for code in errors("en") - named() if not code.startswith(beginnings())} == set()


def test_every_field_of_a_message_is_given_where_the_error_is_raised():
    english, lacking = texts("en"), []
    for code, uses in raised().items():
        room, _, name = code.partition(".")
        parts = [english.get(f"{room}.error.{name}.{part}", "") for part in ("expected", "got", "do")]
        wanted = {field for part in parts for field in placeholders(part)}
        lacking += [
            f"{where} {code}: {wanted - fields}" for where, fields in uses if fields is not None and wanted - fields
        ]
    assert lacking == []


def unsaid(found):
    """Of (where, key, fields given): those whose message does not exist or lacks a field."""
    english = texts("en")
    wrong = [f"{where} {key}" for where, key, _ in found if key not in english]
    return wrong + [
        f"{where} {key}: {lacking}"
        for where, key, fields in found
        if fields is not None and (lacking := set(placeholders(english.get(key, ""))) - fields)
    ]


def test_every_message_that_is_said_exists_and_gets_its_fields():
    said = calls("say", "confirm")
    found = [(where, key, fields - {"lang"} if fields else fields)
             for where, arguments, fields in said for node in arguments[:1] for key in codes(node)]  # fmt: skip
    assert unsaid(found) == []


def test_every_check_has_a_line_and_gets_its_fields():
    checks = calls("ok", "failed")
    found = [(where, f"check.{key}", fields) for where, arguments, fields in checks for key in codes(*arguments[:1])]
    assert unsaid(found) == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_words_that_the_glossary_replaces_are_not_used(lang):
    wrong = re.compile(STRANGERS[lang], re.IGNORECASE)
    assert [f"{key}: {found[0]}" for key, text in texts(lang).items() if (found := wrong.search(text))] == []


def test_chinese_texts_use_the_glossarys_words_where_the_english_ones_do():
    english, chinese = texts("en"), texts("zh")
    wrong = []
    for key, text in english.items():
        plain = re.sub(r"`[^`]*`|\{[^}]*\}|\w+/", " ", text)
        for word, translation in WORDS.items():
            # A field, file or command keeps its English name in the Chinese text.
            if re.search(rf"\b{word}s?\b", plain, re.IGNORECASE) and not re.search(
                f"{translation}|{word}", chinese[key]
            ):
                wrong.append(f"{key}: {word} → {translation}, got {chinese[key]!r}")
    assert wrong == []


def test_chinese_texts_are_chinese():
    plain = {key: re.sub(r"`[^`]*`|\{[^}]*\}|foedus [ -~]*", "", text) for key, text in texts("zh").items()}
    letters = re.compile(r"[A-Za-z]{3,}(?: [A-Za-z]{3,}){3,}")
    assert [key for key, text in plain.items() if letters.search(text)] == []


def test_say_fills_the_fields_in_the_language_in_force():
    assert say("cli.help.usage") == "Usage:"
    set_language("zh")
    try:
        assert (language(), say("cli.help.usage")) == ("zh", "用法：")
        assert say("cli.help.usage", lang="en") == "Usage:"
    finally:
        set_language("en")


def test_a_message_that_does_not_exist_is_a_bug_and_not_an_empty_text():
    with pytest.raises(KeyError):
        say("cli.no-such-message")


def test_what_the_system_says_is_read_in_the_readers_language(tmp_path):
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    with pytest.raises(RunError) as refused:
        write_atomic(file / "below", b"")
    assert [error_text(refused.value, lang=lang).got for lang in LANGUAGES] == ["File exists", "文件已存在"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems use other words")
def test_the_systems_own_words_are_those_that_this_system_uses():
    names = {name: text for name, text in catalogue("system", "en")["said"].items() if hasattr(errno, name)}
    assert len(names) > 20
    assert {name: os.strerror(getattr(errno, name)) for name in names} == names
