"""A folder with approved material + a question -> the closest passages with scores, or why none may be shown.

The search itself is `source/search.c`, the clinic's own. Fails with `InputError` on damaged files, `MissingResource`
where the search cannot be compiled.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packager.errors import InputError
from packager.knowledge import engine, index
from packager.knowledge.passages import Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Verdict = Literal["found", "near", "far", "dose", "local", "empty"]
VERDICTS: tuple[Verdict, ...] = ("found", "near", "far", "dose", "local", "empty")
"""found; about the same, so shown as the closest and not as the answer; nothing close enough; asks for a dose, or for
something of this place and day, that the best passage does not give; no words. In the order of source/search.h."""


class _CHit(ctypes.Structure):
    _fields_ = (("passage", ctypes.c_int32), ("score", ctypes.c_int32))


@dataclass(frozen=True)
class Hit:
    """A passage and how close it is."""

    passage: Passage
    place: int
    """Of the passage in the material, from 0."""
    score: int
    """Millionths; about 800,000 for texts that have nothing in common."""


@dataclass(frozen=True)
class Found:
    """The outcome of one search."""

    verdict: Verdict
    hits: tuple[Hit, ...]
    """Best first, also where the verdict is that none may be shown."""

    @property
    def ranking(self) -> str:
        """As the clinic's program writes it (`clinica procurar`)."""
        hits = ", ".join(f"[{hit.place}, {hit.score}]" for hit in self.hits)
        return f'{{"verdict": "{self.verdict}", "hits": [{hits}]}}'


class Search:
    """An opened folder; `ask` may be called from several threads."""

    def __init__(self, passages: Sequence[Passage], lib: ctypes.CDLL, handle: int) -> None:
        self.passages = passages
        self._lib = lib
        self._handle = handle

    def ask(self, question: str, most: int = 3) -> Found:
        """The `most` closest passages."""
        hits, verdict = (_CHit * (most + 1))(), ctypes.c_int()
        count = self._lib.knowledge_ask(self._handle, engine.c_text(question), hits, most, ctypes.byref(verdict))
        return Found(
            VERDICTS[verdict.value],
            tuple(Hit(self.passages[hit.passage], hit.passage, hit.score) for hit in hits[:count]),
        )

    def answer(self, question: str) -> Found:
        """What is shown: the closest passage and those nearly as close; none but for the verdicts found and near."""
        hits, verdict = (_CHit * 3)(), ctypes.c_int()
        count = self._lib.knowledge_answer(self._handle, engine.c_text(question), hits, ctypes.byref(verdict))
        return Found(
            VERDICTS[verdict.value],
            tuple(Hit(self.passages[hit.passage], hit.passage, hit.score) for hit in hits[:count]),
        )

    def meant(self, question: str) -> list[str]:
        """Approved questions that may have been meant, where nothing is close enough to be shown."""
        hits = (_CHit * 3)()
        count = self._lib.knowledge_meant(self._handle, engine.c_text(question), hits)
        return [self.passages[hit.passage].question for hit in hits[:count]]

    def ask_all(self, questions: Sequence[str], most: int = 3) -> list[Found]:
        """`ask` for each, on every core."""
        with ThreadPoolExecutor(engine.cores()) as pool:
            return list(pool.map(lambda question: self.ask(question, most), questions))

    def answer_all(self, questions: Sequence[str]) -> list[Found]:
        """`answer` for each, on every core."""
        with ThreadPoolExecutor(engine.cores()) as pool:
            return list(pool.map(self.answer, questions))

    def scores(self, questions: Sequence[str]) -> NDArray[np.int32]:
        """[question, passage]: how close each is, millionths, with hubness; 0 for a question without words."""
        import numpy as np

        found = np.zeros((len(questions), len(self.passages)), np.int32)

        def one(place: int) -> None:
            self._lib.knowledge_scores(self._handle, engine.c_text(questions[place]), found[place].ctypes.data)

        with ThreadPoolExecutor(engine.cores()) as pool:
            list(pool.map(one, range(len(questions))))
        return found

    def without_hubness(self, scores: NDArray[np.int32]) -> NDArray[np.int32]:
        """`scores` as `ask` has them."""
        import numpy as np

        found = np.ascontiguousarray(scores)
        for row in found:
            self._lib.knowledge_without_hubness(self._handle, row.ctypes.data)
        return found

    def rewritten(self, question: str) -> str:
        """The question as it is searched: chat's abbreviations and people's words replaced, accents restored."""
        out = ctypes.create_string_buffer(8000)
        self._lib.knowledge_rewritten(self._handle, engine.c_text(question)[:2000], out, len(out))
        return out.value.decode("utf-8", "replace")


@contextmanager
def opened(folder: Path, programs: Path, *, plain: bool = False) -> Iterator[Search]:
    """The search over the material in `folder`; `programs` keeps the compiled library. `plain`: as old processors
    compute it."""
    passages = index.read(folder)
    lib = engine.load(engine.library(programs, plain=plain))
    model, data = engine.model_file().read_bytes(), (folder / index.INDEX).read_bytes()
    why = ctypes.c_char_p()
    handle = lib.knowledge_open(model, len(model), data, len(data), ctypes.byref(why))
    if not handle:
        raise InputError(
            f"{folder / index.INDEX} cannot be searched: {(why.value or b'').decode()}", "build the package again"
        )
    try:
        yield Search(passages, lib, handle)
    finally:
        lib.knowledge_close(handle)
