"""A document (Markdown, text, HTML, PDF, DOCX) -> its title, date and sections, each under its headings.

PDF needs pypdf and DOCX python-docx; they are imported where such a file is read. Fails with `InputError` on bytes
that are not such a document, `MissingResource` without the library.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from packager.errors import InputError, MissingResource

_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
_META = re.compile(r"^(title|titulo|título|date|data):\s*(.+)$", re.IGNORECASE)
_HIDDEN = {"script", "style", "head", "nav", "noscript", "template"}
_BLOCKS = {
    "p",
    "div",
    "li",
    "tr",
    "br",
    "section",
    "article",
    "table",
    "ul",
    "ol",
    "td",
    "th",
    "dd",
    "dt",
    "blockquote",
}


@dataclass(frozen=True)
class Section:
    """Text under one heading."""

    heading: str
    """The headings above it, outermost first, joined by " > "."""
    text: str
    """Paragraphs with an empty line between them."""
    page: int | None = None


@dataclass(frozen=True)
class Document:
    """What was read of one file."""

    title: str
    date: str
    sections: tuple[Section, ...]


def read_document(path: Path) -> Document:
    """The document at `path`; its suffix says how it is read."""
    return SUFFIXES[path.suffix.lower()](path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name} is not UTF-8 (byte {error.start}).", f"iconv -f latin1 -t utf-8 {path.name}"
        ) from None


def _plain(path: Path) -> Document:
    return Document("", "", (Section("", _text(path)),))


def _markdown(path: Path) -> Document:
    """Headings open sections; `title:` and `date:` are read from a front matter between two lines of `---`."""
    lines = _text(path).splitlines()
    meta: dict[str, str] = {}
    if lines and lines[0].strip() == "---" and "---" in [line.strip() for line in lines[1:]]:
        end = [line.strip() for line in lines[1:]].index("---") + 1
        meta = {m[1].lower()[:2]: m[2].strip(" \"'") for line in lines[1:end] if (m := _META.match(line.strip()))}
        lines = lines[end + 1 :]
    marked = [(len(m[1]), m[2]) if (m := _HEADING.match(line)) else (0, line) for line in lines]
    return Document(meta.get("ti", ""), meta.get("da", ""), _sections(marked))


def _sections(lines: list[tuple[int, str]]) -> tuple[Section, ...]:
    """Lines with the level of the heading that they are (0: text) -> sections."""
    headings: list[tuple[int, str]] = []
    sections: list[Section] = []
    text: list[str] = []

    def close() -> None:
        if body := "\n".join(text).strip():
            sections.append(Section(" > ".join(name for _, name in headings), body))
        text.clear()

    for level, line in lines:
        if level:
            close()
            headings = [(depth, name) for depth, name in headings if depth < level] + [(level, line.strip())]
        else:
            text.append(line)
    close()
    return tuple(sections)


class _Page(HTMLParser):
    """Collects lines and headings; what a reader does not see is left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[tuple[int, str]] = [(0, "")]
        self.title = ""
        self.date = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "meta" and (values.get("name") or "").lower() in {"date", "dc.date", "dcterms.date"}:
            self.date = values.get("content") or ""
        if tag in _HIDDEN or tag == "title":
            self._open.append(tag)
        elif re.fullmatch("h[1-6]", tag):
            self.lines.append((int(tag[1]), ""))
        elif tag in _BLOCKS:
            self.lines += [(0, ""), (0, "")]

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag in self._open:
            del self._open[len(self._open) - 1 - self._open[::-1].index(tag) :]
        elif tag in _BLOCKS or re.fullmatch("h[1-6]", tag):
            self.lines += [(0, ""), (0, "")]

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            self.title += data
        elif not self._open:
            level, line = self.lines[-1]
            self.lines[-1] = (level, line + data.replace("\n", " "))


def _html(path: Path) -> Document:
    page = _Page()
    page.feed(_text(path))
    page.close()
    return Document(" ".join(page.title.split()), page.date, _sections(page.lines))


def _pdf(path: Path) -> Document:
    try:
        pypdf = importlib.import_module("pypdf")
    except ImportError:
        raise _without("pypdf", path) from None
    try:
        reader = pypdf.PdfReader(path)
        pages = [page.extract_text() for page in reader.pages]
        meta = reader.metadata
    except (pypdf.errors.PyPdfError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path.name} is not a PDF that can be read: {error}", "open it, and save it anew") from error
    date = re.sub(r"^D:(\d{4})(\d\d)?(\d\d)?.*", r"\1-\2-\3", str((meta or {}).get("/CreationDate", ""))).rstrip("-")
    title = str((meta or {}).get("/Title", "") or "").strip()
    return Document(
        title, date, tuple(Section("", text, number) for number, text in enumerate(pages, start=1) if text.strip())
    )


def _docx(path: Path) -> Document:
    try:
        docx = importlib.import_module("docx")
    except ImportError:
        raise _without("python-docx", path) from None
    try:
        document = docx.Document(str(path))
    except Exception as error:  # the library raises KeyError, zipfile's and lxml's errors alike
        raise InputError(f"{path.name} is not a DOCX that can be read: {error}", "open it, and save it anew") from error
    lines: list[tuple[int, str]] = []
    for block in document.iter_inner_content():
        if hasattr(block, "rows"):
            lines += [(0, " | ".join(dict.fromkeys(cell.text for cell in row.cells)) + "\n") for row in block.rows]
            continue
        level = re.search(r"(?:Heading|Título|Titulo)\s*(\d)", block.style.name if block.style else "")
        lines.append((int(level[1]) if level else 0, block.text if level else block.text + "\n"))
    stated = document.core_properties
    return Document(stated.title or "", str(stated.modified.date()) if stated.modified else "", _sections(lines))


def _without(library: str, path: Path) -> MissingResource:
    return MissingResource(f"{path.name} needs {library}, which is not installed.", f"pip install {library}")


SUFFIXES: dict[str, Callable[[Path], Document]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _plain,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
}
