"""Damaged text: what encodings, exports and generators leave in questions and answers, counted and named.

Rows -> a finding for each kind, with the lines it stands on. Nothing is changed here: `data.clean` mends what a
recipe names; the rest is for the author to decide.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from packager.data.audit.duplicates import normalise
from packager.data.rows import mending
from packager.data.rows.formats import Row

TextTest = Callable[[str], bool]
PREFIX = 60
"""Characters that many questions must share at their beginning to be a pasted system prompt."""
SHARED = 0.5
CAPS = (255, 256, 500, 512, 1000, 1023, 1024, 2000, 2047, 2048, 4000, 4096, 8192, 32767)
"""Lengths at which databases and spreadsheets cut a text."""
_LOST = re.compile(r"\ufffd|(?<![\w/=&?.])[^\W\d_]{2,}\?{1,3}[a-zà-öø-ÿ]+(?![\w/=])")
_OPEN_END = re.compile(
    r"(?:[,;(\[{–—-]|\b(?:e|ou|de|do|da|dos|das|em|no|na|com|para|por|que|se|um|uma|o|a|os|as|and|or|of|the|to|in|with|for"
    r"|that|an|é|são|is|are|deve|pode|must|should))$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"""[.!?…:)\]}"'”’»`*|_>%]$|\d$|```$""")
_PASTED = re.compile(
    r"^\W*(?:voc[êe] [ée] um(?:a)? (?:assistente|especialista|m[ée]dic|enfermeir|modelo|chatbot)|aja como|atue como|"
    r"you are an? |act as |system:|sistema:|<<sys>>|<\|system|<\|im_start\|>|\[inst\]|###? ?(?:instru|system))",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"\{\{?\s*[A-Za-zÀ-ÿ_][\wÀ-ÿ .-]{0,30}\}?\}|<(?:nome|name|inserir|insert|data|date|seu|sua|your)\b[^<>\n]{0,30}>|"
    r"\[(?:inserir|insira|insert|seu|sua|your|coloque|preencher|nome d[oa]|data d[oa])\b[^\]\n]{0,40}\]|"
    r"%\([A-Za-z_]\w*\)[sd]|\$\{[A-Za-z_]\w*\}|lorem ipsum|\bX{4,}\b",
    re.IGNORECASE,
)
_PHRASE = re.compile(
    r"^\W*(?:claro|com certeza|certamente|sure|certainly|of course|absolutely)[!,.]\s*(?:aqui|segue|here|vou|below)|"
    r"^\W*(?:aqui est[áa]|segue abaixo|here is|here's) (?:a |uma |the |an? )?(?:resposta|answer|sua|vers[ãa]o|version)|"
    r"como (?:uma? )?(?:modelo de linguagem|intelig[êe]ncia artificial|ia\b)|"
    r"as an ai (?:language )?(?:model|assistant)|"
    r"espero que isso ajude|i hope this helps",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Kind:
    """A kind of damage: its name (that of `data.clean`, where it can be mended) and what it is, in words."""

    name: str
    what: str
    mendable: bool = False


MOJIBAKE = Kind("mojibake", "mojibake: UTF-8 that was read as another encoding", True)
HTML = Kind("html", "HTML tags or entities", True)
EXCEL = Kind("excel", "Excel's escapes (_x000D_)", True)
CONTROL = Kind("control", "control or invisible characters", True)
ESCAPE = Kind("escape", "escapes left as text, such as \\n, \\u00e3 or %C3%A3")
LOST = Kind("lost", "letters lost to U+FFFD or a question mark: take them from the original")
CUT = Kind("cut", "answers that seem cut off")
PASTED = Kind("pasted", "a system prompt pasted into the question: data.system is the place for it")
ECHO = Kind("echo", "answers that begin with the question")
PLACEHOLDER = Kind("placeholder", "placeholders left in, such as {nome}")
PHRASE = Kind("phrase", 'a chatbot\'s phrases, such as "Claro! Aqui está"')
IN_TEXT: tuple[tuple[Kind, TextTest], ...] = (
    (MOJIBAKE, mending.has_mojibake),
    (HTML, mending.has_html),
    (EXCEL, mending.has_excel_escape),
    (CONTROL, lambda text: mending.has_control(text) and not mending.has_mojibake(text)),
    (ESCAPE, mending.has_escape),
    (LOST, lambda text: _LOST.search(text) is not None),
    (PLACEHOLDER, lambda text: _PLACEHOLDER.search(text) is not None),
)


def damaged(rows: Sequence[Row]) -> Iterator[tuple[Kind, list[Row]]]:
    """The kinds of damage found, each with the rows that have it."""
    for kind, test in IN_TEXT:
        yield from _found(kind, [row for row in rows if any(test(content) for _, content in row.messages)])
    yield from _found(PHRASE, [row for row in rows if any(_PHRASE.search(text) for text in _said(row, "assistant"))])
    yield from _found(CUT, _cut_off(rows))
    yield from _found(PASTED, _pasted(rows))
    yield from _found(ECHO, [row for row in rows if _echoes(row)])


def _found(kind: Kind, rows: list[Row]) -> Iterator[tuple[Kind, list[Row]]]:
    if rows:
        yield kind, rows


def _said(row: Row, by: str) -> list[str]:
    return [content for role, content in row.messages if role == by]


def _cut_off(rows: Sequence[Row]) -> list[Row]:
    """Answers that end in the middle of something; or, where nearly all others end a sentence, that do not;
    or that are exactly as long as what a database holds."""
    last = [mending.mended(row.messages[-1][1], ("html",)) for row in rows]
    long = [text for text in last if len(text) > 40]
    ending = sum(_SENTENCE_END.search(text) is not None for text in long)
    strict = len(long) >= 10 and ending >= 0.9 * len(long)

    def cut(text: str) -> bool:
        if len(text) <= 40:
            return False
        if text.count("```") % 2:
            return True
        if _SENTENCE_END.search(text):
            return False
        return strict or len(text) in CAPS or _OPEN_END.search(text) is not None

    return [row for row, text in zip(rows, last, strict=True) if cut(text)]


def _pasted(rows: Sequence[Row]) -> list[Row]:
    """Questions that begin as a system prompt does, or with a long text that most others begin with too."""
    first = [_said(row, "user")[0] for row in rows]
    heads = Counter(text[:PREFIX] for text in set(first) if len(text) > PREFIX)
    needed = max(5, SHARED * len(set(first)))
    shared = {head for head, times in heads.items() if times >= needed}
    return [row for row, text in zip(rows, first, strict=True) if text[:PREFIX] in shared or _PASTED.match(text)]


def _echoes(row: Row) -> bool:
    said = [(role, content) for role, content in row.messages if role != "system"]
    for (_, question), (_, answer) in zip(said[::2], said[1::2], strict=True):
        plain = normalise(question)
        if len(plain) >= 15 and normalise(answer).startswith(plain):
            return True
    return False
