"""MedQuAD: its judged-answers CSV and its XML release -> question, answer, topic.

The CSV's `Answer` cell holds `Question: ... URL: ... Answer: ...` over several lines. The XML
release has a `Document` a file: a `Focus` and `QAPair`s with a `Question` (its `qtype`) and an
`Answer`, which is empty where the publisher's copyright forbade it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.parsers import expat

COLUMNS = ("AnswerID", "Answer")
_CELL = re.compile(r"\s*Question:(?P<question>.*?)\n\s*URL:(?P<url>.*?)\n\s*Answer:(?P<answer>.*)", re.DOTALL)


def split_cell(cell: str) -> Mapping[str, str] | None:
    """question, url and answer of an `Answer` cell, stripped; None if it has another form."""
    found = _CELL.fullmatch(cell)
    return {name: text.strip() for name, text in found.groupdict().items()} if found else None


def without_unmatched_bracket(answer: str) -> str:
    """The answer without a last `)` that nothing opens; one that closes a bracket stays."""
    if answer.endswith(")") and answer.count(")") > answer.count("("):
        return answer[:-1].rstrip()
    return answer


def topic_of(answer_id: str) -> str:
    """`ADAM_0003147_Sec1.txt` -> `ADAM`: the collection an answer comes from."""
    return answer_id.partition("_")[0].strip()


def read_xml(content: bytes) -> Iterator[tuple[int, Mapping[str, str] | str]]:
    """(line, values) for each `QAPair` of a `Document`, or (line, what is wrong).

    `values` are question, answer, topic (the document's focus), qtype. No entity declared in the
    file is expanded, so that a small file cannot become a huge one.
    """
    found: list[tuple[int, Mapping[str, str] | str]] = []
    state = {"focus": "", "question": "", "answer": "", "qtype": ""}
    line, capturing, text = 0, "", list[str]()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal line, capturing
        if name == "QAPair":
            line = parser.CurrentLineNumber
            state.update(question="", answer="", qtype="")
        elif name in ("Focus", "Question", "Answer"):
            capturing = name
            text.clear()
            if name == "Question":
                state["qtype"] = attributes.get("qtype", "")

    def end(name: str) -> None:
        nonlocal capturing
        if name == capturing:
            state[name.lower()] = "".join(text).strip()
            capturing = ""
        elif name == "QAPair":
            found.append((line, {k: state[k] for k in ("question", "answer", "qtype")} | {"topic": state["focus"]}))

    def refuse(*declared: object) -> None:
        raise ValueError("it declares entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda data: text.append(data) if capturing else None
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        found.append((error.lineno, f"broken XML ({expat.ErrorString(error.code)}); nothing after it was read"))
    except ValueError as error:
        found.append((1, f"refused XML: {error}"))
    if not found:
        found.append((1, "no QAPair in it: not a document of the MedQuAD release"))
    yield from found
