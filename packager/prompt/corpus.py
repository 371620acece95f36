"""The conversations that every stage is proven on, whatever the data hold.

A chat template and its tokenizer -> `corpus.jsonl` beside the rows: one conversation of `messages` a
line. Together with the held-out rows they travel from the training prompt through the checkpoint,
every GGUF file and the Modelfile, so that a difference is pinned to the stage that made it.
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from packager.prompt.deriving import derive_roles
from packager.prompt.masking import Encoded, encode
from packager.prompt.roles import RoleFormat
from packager.prompt.template import Message, load_template, load_tokenizer, special_tokens, token_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CORPUS = "corpus.jsonl"
CONTENTS = (
    "O que é a atenção primária à saúde?",
    "Pressão alta.\n\n- Meça sempre.\n- Anote.",
    "Crianças 👶 de 2–5 anos: 37,5 °C é «febre»? 发烧了吗？ e\u0301 ﬁm",
    "{{ .Content }} {{- end }} {% if x %}{",
    "  dois espaços  antes,\n\numa linha vazia\te um espaço no fim ",
    "CPF 123.456.789-09, 10 mg/kg, 37,5 °C, 100 %, 3333333",
    "“aspas” — travessão… 5 µg 😀 👩🏽 don't WE'VE",
    "def f(x):\n    return {x: [1, 2]}",
    " Oi ",
    "\n\nOi\n",
    "\tOi\n ",
)
"""What is said: prose, lists, Unicode, template syntax, white space, numbers and units, code."""
SPECIALS = 4
"""How many of the tokenizer's special tokens are also typed by a user, beside those that frame turns."""

SPLITS = (
    "1. Lave as mãos.\n2. Seque.\n\n10. Anote:\n\n  a) hora;\n  b) dose.",
    "Dose:  10 mg\t2 x/dia,   500 mg\n\n1.  Manhã:  1\n2.  Noite:  ½",
    "| Idade | mg |\n|:------|---:|\n| 2–5   |  75 |\n| 12    | 150 |",
    "½ comprimido, kg / m ² , ٣, Ⅳ, ①, १२, 3.º, 1ª",
    "a\n\n\nb\n \n c\t\t1\t \t22    333\r\n4444",
)
"""Where tokenizers that are taken for each other differ: lists, doses, tables, tabs, runs of blanks, numerals."""
NEIGHBOURS = (
    "a", "Z", "é", "ção", "e\u0301", "ß", "ª", "1", "42", "٣", "½", "²", "Ⅳ",
    " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\u00a0", "\u2003", "\u200b",
    ".", ",", "!", "?", "(", ")", "'", "'s", "'RE", '"', "-", "—", "%", "+", "/", "//", "|", "_", "#",
    "€", "°", "`", "👶", "你", "А", "ا",
)  # fmt: skip
"""One of every class of character, and runs that pre-tokenizers treat apart."""
COMPARED_TOKENS = 768
"""Held-out answer tokens on which quantized files are compared with what they were made of."""
LEAST_TOKENS = 256
"""With fewer than these, the corpus that every stage is proven on is added."""
LONG_PROMPTS = 8
"""Tokens that may be run for each answer token asked for, where prompts are long and answers short."""

Conversation = tuple[Message, ...]
T = TypeVar("T")


def conversations(
    roles: RoleFormat, specials: Sequence[str], system: str | None, *, joined: bool = False
) -> list[Conversation]:
    """Conversations of every shape that the format can express, each ending in a user's turn.

    Where training sets a `system` message they begin with it, as every served one does, unless they
    bring their own. With accents `joined` to their letters, for a tokenizer that does that.
    """
    framing = [s for s in specials if s in roles.bos or any(s in prefix for prefix in roles.prefix.values())]
    tokens = dict.fromkeys((roles.end_of_turn, *framing, *specials[:SPECIALS]))
    typed = (f"O que quer dizer {token} aqui?" for token in tokens)
    contents = [*CONTENTS, *typed]
    if joined:
        contents = [unicodedata.normalize("NFC", content) for content in contents]
    apart = [*SPLITS, *neighbours()]
    if joined:
        apart = [unicodedata.normalize("NFC", content) for content in apart]
    found: list[list[tuple[str, str]]] = [[("user", content)] for content in apart]
    for number, content in enumerate(contents):
        turns = [("user", content), ("assistant", content), ("user", contents[number - 1]), ("assistant", "Sim.")]
        found += [turns[:1], turns[:3], [*turns, ("user", content)]]
        if not roles.refuses_system:
            found += [[("system", content), *turns[:1]], [("system", content), *turns[:3]]]
    if not roles.refuses_system:
        found += [[("system", ""), ("user", contents[0])]]
    roles_in_turn = itertools.cycle(("user", "assistant"))
    odd = contents[: len(contents) - 1 + len(contents) % 2]
    found += [list(zip(roles_in_turn, odd, strict=False))]  # long
    said: list[Conversation] = [tuple({"role": r, "content": c} for r, c in turns) for turns in found]
    return [_with_system(conversation, system) for conversation in said]


def joins_accents(tokenizer: Tokenizer) -> bool:
    """Does the tokenizer join letters and accents that come apart (NFC), as Qwen's does? llama.cpp never does."""
    normalizer = tokenizer.normalizer
    return normalizer is not None and "\u00e9" in normalizer.normalize_str("e\u0301")


def neighbours() -> list[str]:
    """Texts in which every class of character stands next to every other, on either side, two classes a text.

    Each begins with a letter: after its special tokens Phi-3's tokenizer swallows white space of every kind, and
    llama.cpp that of ASCII alone. No trained row begins with any.
    """
    lines = ["a" + "".join(f"{one}{other}" for other in NEIGHBOURS) for one in NEIGHBOURS]
    return ["".join(pair) for pair in itertools.zip_longest(lines[::2], lines[1::2], fillvalue="")]


def write_corpus(folder: Path, system: str | None) -> None:
    """Write the corpus for the template and tokenizer in `folder` beside them."""
    tokenizer = load_tokenizer(folder)
    specials = special_tokens(tokenizer)
    roles = derive_roles(load_template(folder), specials)
    found = conversations(roles, specials, system, joined=joins_accents(tokenizer))
    lines = (json.dumps({"messages": conversation}, ensure_ascii=False) + "\n" for conversation in found)
    (folder / CORPUS).write_text("".join(lines), encoding="utf-8", newline="\n")


def read_conversations(path: Path) -> Iterator[Conversation]:
    """The conversations of a JSONL file of the data stage: the corpus, or the rows."""
    with path.open(encoding="utf-8") as file:  # not splitlines: U+2028 is a character like any other here
        for line in file:
            yield tuple(json.loads(line)["messages"])


def corpus_samples(folder: Path, positions: int) -> list[Encoded]:
    """Every twelfth conversation of the corpus, with at most so many positions spread evenly over them.

    `folder` is that of the data stage.
    """
    template, tokenizer = load_template(folder), load_tokenizer(folder)
    chosen = list(read_conversations(folder / CORPUS))[::-12]  # from the last, the longest
    rows = [token_ids(tokenizer, template.render(c, add_generation_prompt=True)) for c in chosen]
    step = max(1, -(-sum(map(len, rows)) // (positions - len(rows))))  # every row may add one
    return [Encoded.predicting(ids, range(0, len(ids) - 1, step)) for ids in rows if len(ids) > 1]


def answer_samples(path: Path, end_of_turn: str, tokens: int, least: int = 0) -> list[Encoded]:
    """Rows of a JSONL file of the data stage, spread evenly over it, with every answer token as a
    target, until there are `tokens` of them, or so many tokens in all that little more can be run; `least` rows in
    any case."""
    template, tokenizer = load_template(path.parent), load_tokenizer(path.parent)
    rows = list(read_conversations(path))
    found: list[Encoded] = []
    room = LONG_PROMPTS * tokens
    for row in spread(rows):
        found.append(encode(template, tokenizer, end_of_turn, row))
        tokens -= len(found[-1].at)
        room -= len(found[-1].ids)
        if (tokens <= 0 or room <= 0) and len(found) >= least:
            break
    return found


def compared_samples(folder: Path, heldout: str, end_of_turn: str) -> tuple[list[Encoded], int]:
    """On what quantized files are compared: answers of the file `heldout`, and the corpus where these are few; and how
    many positions are of the corpus."""
    samples = answer_samples(folder / heldout, end_of_turn, COMPARED_TOKENS)
    if sum(len(s.at) for s in samples) >= LEAST_TOKENS:
        return samples, 0
    more = corpus_samples(folder, LEAST_TOKENS)  # a handful would judge by chance
    return [*samples, *more], sum(len(s.at) for s in more)


def spread(rows: Sequence[T]) -> Iterator[T]:
    """All rows, in an order whose every beginning is spread over them: multiples of the golden ratio
    fill an interval evenly."""
    return (rows[i] for i in sorted(range(len(rows)), key=lambda i: i * 0.6180339887 % 1))


def _with_system(conversation: Conversation, system: str | None) -> Conversation:
    if not system or conversation[0]["role"] == "system":
        return conversation
    return ({"role": "system", "content": system}, *conversation)
