"""Writes the pages that nobody should write by hand: reference and formats from the code, errors from the messages.

    python docs/build.py            write them
    python docs/build.py --check    say which pages are not what the code says; exit 1 if any

Code is read, not imported: the reference needs no torch. Only `docs/reference/commands.md` asks the command line.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from foedus.cli.help import page as help_page
from foedus.cli.main import PANELS, build
from foedus.core.messages import LANGUAGES, catalogue, rooms

DOCS = Path(__file__).parent
SOURCE = DOCS.parent / "src" / "foedus"
GENERATED = ("errors", "formats/records", "reference")


def pages() -> dict[str, str]:
    """Every generated page: its path below docs/ → its text."""
    return {**dict(_errors()), **dict(_formats()), **dict(_reference()), "reference/commands.md": _commands()}


# ── errors ───────────────────────────────────────────────────────────────────


def _errors() -> Iterator[tuple[str, str]]:
    codes = [f"{room}.{name}" for room in rooms() for name in catalogue(room, "en").get("error", {})]
    heads = {"en": ("Expected", "Got", "What to do"), "zh": ("应为", "实际", "处理")}
    for code in codes:
        room, _, name = code.partition(".")
        lines = [f"# `{code}`"]
        for lang in LANGUAGES:
            entry = catalogue(room, lang)["error"][name]
            lines.append("## " + {"en": "English", "zh": "中文"}[lang])
            parts = zip(heads[lang], ("expected", "got", "do"), strict=True)
            lines.append("\n".join(f"- **{head}**: {_escaped(entry[part])}" for head, part in parts))
        lines.append("Words in braces stand for what the error names: a path, a member, a number.")
        yield f"errors/{code}.md", "\n\n".join(lines) + "\n"
    index = "\n".join(f"- [`{code}`]({code}.md): {_escaped(_expected(code))}" for code in sorted(codes))
    intro = (
        "Every error has a stable code, says what was expected, what was got and what to do, and ends the command\n"
        "with the exit code of its family: 1 it ran and failed, 2 wrong use, 3 connection or identity, 4 a deadline\n"
        "passed, 5 a bug in Foedus, 6 verification or a gate refused. Beside each code stands what was expected."
    )
    yield "errors/index.md", f"# Errors\n\n{intro}\n\n{index}\n"


def _expected(code: str) -> str:
    room, _, name = code.partition(".")
    return str(catalogue(room, "en")["error"][name]["expected"])


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("\n", "\n  ")


# ── formats ──────────────────────────────────────────────────────────────────


def _formats() -> Iterator[tuple[str, str]]:
    """A page a record: what it says, under which type it is signed, and its fields with types and defaults."""
    rows = []
    for path in sorted((SOURCE / "records").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and (kind := _kind(node)):
                doc = ast.get_docstring(node) or ""
                first = " ".join(doc.split("\n\n")[0].split())
                yield f"formats/records/{kind}.md", _format(node, kind, doc, path.stem)
                rows.append(f"- [`{kind}`]({kind}.md): {first}")
    intro = (
        "Everything that is signed, stored or sent is one of these records: canonical JSON (RFC 8785) without floats.\n"
        "A field never changes meaning; a new meaning is a new record."
    )
    yield "formats/records/index.md", "# Records\n\n" + intro + "\n\n" + "\n".join(rows) + "\n"


def _format(node: ast.ClassDef, kind: str, doc: str, module: str) -> str:
    of_entry = f"The body of an [`entry`](entry.md) whose `type` is `{kind}`."
    alone = f"In an envelope its type is `application/vnd.foedus.{kind}+json`."
    head = "| field | type | default |\n| --- | --- | --- |"
    parts = (
        f"# `{kind}`",
        doc,
        of_entry if module == "acts" and kind != "entry" else alone,
        "The bytes are canonical JSON with every field written out.",
        "\n".join([head, *(_field(item) for item in node.body if _is_field(item))]),
        f"Declared as `{node.name}` in [`foedus.records.{module}`](../../reference/records.md), beside the types.",
    )
    return "\n\n".join(parts) + "\n"


def _kind(node: ast.ClassDef) -> str:
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and ast.unparse(item.target) == "kind" and item.value is not None:
            return str(ast.literal_eval(item.value))
    return ""


def _is_field(item: ast.stmt) -> bool:
    return isinstance(item, ast.AnnAssign) and not ast.unparse(item.annotation).startswith("ClassVar")


def _field(item: ast.stmt) -> str:
    assert isinstance(item, ast.AnnAssign)  # noqa: S101 - `_is_field` has looked
    value = ast.unparse(item.value) if item.value is not None else ""
    if found := re.search(r"default_factory=([\w.]+)|default=([^,)]+\)?)", value):
        value = found[2] or f"{found[1]}()"
    elif value.startswith("Field("):
        value = ""
    annotation = ast.unparse(item.annotation).replace("|", "\\|")
    return f"| `{ast.unparse(item.target)}` | `{annotation}` | {f'`{value}`' if value else 'must be given'} |"


# ── reference ────────────────────────────────────────────────────────────────


def _reference() -> Iterator[tuple[str, str]]:
    """A page a room: what it is for, its modules, and their public names with signatures and docstrings."""
    rows = []
    for room in sorted(p for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()):
        name = room.stem
        if name.startswith("_") or name == "cli":
            continue
        modules = sorted(room.rglob("*.py")) if room.is_dir() else [room]
        modules.sort(key=lambda path: path.name != "__init__.py")
        parts = [f"# `foedus.{name}`", *(part for path in modules for part in _module(path))]
        yield f"reference/{name}.md", "\n\n".join(parts) + "\n"
        doc = ast.get_docstring(ast.parse(modules[0].read_text(encoding="utf-8"))) or ""
        rows.append(f"- [`foedus.{name}`]({name}.md): {' '.join(doc.split(chr(10) * 2)[0].split())}")
    intro = "Made from the code's own words. [Commands](commands.md) has the help page of every command."
    yield "reference/index.md", "# Reference\n\n" + intro + "\n\n" + "\n".join(rows) + "\n"


def _module(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = path.relative_to(SOURCE).with_suffix("").parts
    if len(parts) > 1 and parts[1:] != ("__init__",):
        yield f"## `{'.'.join(('foedus', *parts)).removesuffix('.__init__')}`"
    if doc := ast.get_docstring(tree):
        yield _text(doc)
    public = _public(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in public:
            yield from _described(node, level=3)
    for name, value, doc in _constants(tree, public):
        yield f"### `{name}`\n\n{_text(doc)}" if doc else f"### `{name} = {value}`"


def _public(tree: ast.Module) -> set[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def _described(node: ast.FunctionDef | ast.ClassDef, *, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{_signature(node)}`"
    if doc := ast.get_docstring(node):
        yield _text(doc)
    if isinstance(node, ast.ClassDef):
        fields = [ast.unparse(item) for item in node.body if isinstance(item, ast.AnnAssign)]
        if fields:
            yield "```python\n" + "\n".join(fields) + "\n```"
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
                yield from _described(item, level=level + 1)


def _signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(map(ast.unparse, node.bases))
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){returns}"


def _constants(tree: ast.Module, public: set[str]) -> Iterator[tuple[str, str, str]]:
    """Public constants: name, value (shortened), and the docstring that stands below."""
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and target.id in public and node.value is not None:
                value = ast.unparse(node.value)
                doc = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
                yield target.id, value if len(value) <= 80 else value[:77] + "…", str(doc)


def _text(doc: str) -> str:
    """A docstring as Markdown: its headings (Raises:, References:) in bold, what is indented below as it is."""
    lines = []
    for line in doc.splitlines():
        bare = line.strip()
        heading = bare in ("Args:", "Raises:", "Returns:", "Yields:", "References:", "Example:", "Examples:")
        lines.append(f"**{bare}**\n" if heading else line)
    return "\n".join(lines)


def _commands() -> str:
    """The help page of every command, as `foedus … --help` prints it."""
    parts = ["# Commands", "What `--help` prints, for every command. With `--lang zh` it is Chinese."]

    def walk(command: object, path: list[str]) -> None:
        text = help_page(command, path, PANELS if len(path) == 1 else None, with_global=len(path) == 1)
        parts.append(f"## `{' '.join(path)}`\n\n```text\n{text}\n```")
        for name, child in getattr(command, "commands", {}).items():
            if not child.hidden:
                walk(child, [*path, name])

    walk(build(), ["foedus"])
    return "\n\n".join(parts) + "\n"


# ── writing and comparing ────────────────────────────────────────────────────


def differences() -> list[str]:
    """The pages on disk that are not what the code says: changed, absent or no longer wanted."""
    wanted = pages()
    there = {str(path.relative_to(DOCS)) for folder in GENERATED for path in (DOCS / folder).rglob("*.md")}
    changed = [n for n in wanted if n in there and (DOCS / n).read_text(encoding="utf-8") != wanted[n]]
    return sorted([*changed, *(set(wanted) ^ there)])


def write() -> None:
    """Write every page and remove those that are no longer wanted."""
    wanted = pages()
    for name in differences():
        path = DOCS / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()


if __name__ == "__main__":
    if "--check" in sys.argv:
        if found := differences():
            sys.exit("not what the code says (make docs): " + ", ".join(found))
    else:
        write()
