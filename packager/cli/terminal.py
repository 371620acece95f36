"""What a terminal can show: letters and signs that its encoding lacks are written with those that it has.

`as_it_can` changes the program's outputs, which then never fail for a letter (LC_ALL=C, an old serial console).
"""

from __future__ import annotations

import codecs
import io
import shutil
import sys
import textwrap
import unicodedata

LEAST = 40
"""Characters: narrower terminals wrap by themselves."""
PLAIN = {
    "✓": "ok", "✗": "x", "–": "-", "—": "-", "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'", "→": "->", "×": "x",
    "⟦": "[[", "⟧": "]]", "·": "-", "±": "+-", "⏎": "\\n", "█": "#", "▁": "_", "°": "o", "«": "<<", "»": ">>",
}  # fmt: skip


class PlainOutput(io.TextIOWrapper):
    """An output in ASCII. It says that it is UTF-8 (which it is too), as click would write UTF-8 to one that does
    not."""

    def write(self, text: str) -> int:
        # Bytes go on as they are, to be refused: click finds out that way that this is no binary output.
        return super().write(plain(text) if isinstance(text, str) else text)


def as_it_can() -> None:
    """Have the program's outputs write what they cannot encode in other letters."""
    codecs.register_error("packager.plain", _plainly)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        encoding = codecs.lookup(stream.encoding).name if type(stream) is io.TextIOWrapper else "utf-8"
        if encoding == "ascii":
            setattr(sys, name, PlainOutput(stream.detach(), "utf-8", line_buffering=stream.line_buffering))
        elif encoding != "utf-8":
            stream.reconfigure(errors="packager.plain")


def wrapped(text: str, indent: int) -> str:
    """The text, whose lines after the first begin `indent` spaces in, in lines that a terminal shows whole; in one line
    where the output is no terminal."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if width - indent < LEAST:
        return text
    return textwrap.fill(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def plain(text: str) -> str:
    """The text in ASCII: letters without accents, signs by others, what is left as question marks."""
    spelled = "".join(PLAIN.get(letter, letter) for letter in text)
    split = unicodedata.normalize("NFKD", spelled)
    return "".join(letter if letter.isascii() else "?" for letter in split if not unicodedata.combining(letter))


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return plain(error.object[error.start : error.end]), error.end
