"""Files of rows: a path -> records, each with the line it stands on.

JSON Lines, JSON, CSV, spreadsheets, Parquet, Arrow, MedQuAD's XML, and folders of such files, also those that the
`datasets` library saved and those laid out as on the Hub (a split's name in the file's or folder's).
What cannot be read becomes a `UnusableRow` record with its line and reason: never a traceback, and the rest
of the file is still read. Only a file that is missing, empty or in another encoding raises.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packager.data.rows import medquad
from packager.data.rows.arrow_files import read_arrow, read_parquet
from packager.data.rows.columns import folded
from packager.data.rows.csv_files import read_csv
from packager.data.rows.json_files import read_json, read_json_lines
from packager.data.rows.records import Record, UnusableRow
from packager.data.rows.sheets import read_sheet
from packager.errors import InputError

ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "metadata.json")
"""What the `datasets` library writes beside the rows."""
LOCK = "~$"
"""How the name of the file begins that Excel keeps beside an open one."""
SPLITS = {
    "train": ("train", "training", "treino", "treinamento"),
    "validation": ("validation", "valid", "val", "dev", "eval", "validacao"),
    "test": ("test", "teste", "testing"),
}
"""A split by the names that files and folders give it."""


@dataclass(frozen=True)
class Reading:
    """How a file is to be read, and which columns are wanted (the only ones read, where a file allows it)."""

    encoding: str = "utf-8"
    sheet: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Files:
    """The files of a source: those to read, and what else lies in the folder."""

    read: tuple[Path, ...]
    other_splits: dict[str, tuple[Path, ...]]
    """By split, in a folder laid out as on the Hub."""
    unread: tuple[Path, ...] = ()
    """Files of no known type, links to folders, and links to nothing."""


def files_of(source: Path, suffixes: Sequence[str] = (), split: str = "train") -> Files:
    """The data files of a file or folder, in the order of their names; of a folder with splits those of `split`.

    Raises `InputError` if there are none, with the nearest name that exists.
    """
    known = tuple(suffixes) or tuple(READERS)
    if source.is_dir():
        return _of_folder(source, known, split)
    if not source.is_file():
        raise InputError(f"There is no data file {_short(source)}.", _nearest(source))
    if source.suffix.lower() not in known:
        raise InputError(
            f"{source.name} is of no known type.", f"save it as one of them and give that: {', '.join(known)}"
        )
    return Files((source,), {})


def _of_folder(source: Path, known: Sequence[str], split: str) -> Files:
    every = sorted(
        p
        for p in source.rglob("*")
        if (p.is_file() or p.is_symlink())  # a link to a folder is not gone into, and one to nothing is no file
        and not any(part.startswith((".", "cache-", LOCK)) for part in p.relative_to(source).parts)
    )
    inside = [p for p in every if p.suffix.lower() in known and p.name not in ABOUT and p.is_file()]
    if not inside:
        raise InputError(f"The folder {_short(source)} holds no data file.", f"known are {', '.join(known)}")
    unread = tuple(p for p in every if p not in inside and p.name not in ABOUT)
    by_split: dict[str, list[Path]] = {}
    for path in inside:
        by_split.setdefault(split_of(path.relative_to(source)), []).append(path)
    if "train" not in by_split or not set(by_split) - {"train", ""}:
        return Files(tuple(inside), {}, unread)
    if alone := by_split.pop("", []):
        raise InputError(
            f"The folder {_short(source)} has splits ({', '.join(by_split)}), but {alone[0].name} belongs to none.",
            "move it out, or give the files to train on a folder of their own",
        )
    if split not in by_split:
        raise InputError(
            f"The folder {_short(source)} has no split '{split}'; it has {', '.join(by_split)}.", "correct the split"
        )
    others = {name: tuple(paths) for name, paths in by_split.items() if name != split}
    return Files(tuple(by_split[split]), others, unread)


def split_of(path: Path) -> str:
    """The split that a file's path names (`data/test-00000-of-00001.parquet`), or ''."""
    *folders, name = path.parts
    words = [folded(part) for part in folders] + [folded(w) for w in re.split(r"[\W_\d]+", Path(name).stem)]
    return next((split for split, names in SPLITS.items() if set(words) & set(names)), "")


def read_file(path: Path, how: Reading) -> Iterator[Record | UnusableRow]:
    """The records of one file. Raises `InputError` if it is empty, broken as a whole or not in its encoding."""
    if path.stat().st_size == 0:
        raise InputError(f"{_short(path)} is empty.", "export it again")
    yield from READERS[path.suffix.lower()](path, how)


def _xml(path: Path, how: Reading) -> Iterator[Record | UnusableRow]:
    for line, found in medquad.read_xml(path.read_bytes()):
        if isinstance(found, str):
            yield UnusableRow(path.name, line, found)
        else:
            yield Record(path.name, line, found)


def _nearest(path: Path) -> str:
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    if folder != path.parent:
        return f"correct the path: the folder {_short(path.parent)} does not exist either, {_short(folder)} does"
    names = [p.name for p in folder.iterdir() if p.is_dir() or p.suffix.lower() in READERS]
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {_short(folder / near[0])}?" if near else "correct the path, or data.source in the recipe"


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:80]}...{text[-80:]}"


def _sheet(path: Path, how: Reading) -> Iterator[Record | UnusableRow]:
    return read_sheet(path, how.sheet, how.columns)


Reader = Callable[[Path, Reading], Iterator[Record | UnusableRow]]
READERS: dict[str, Reader] = {
    ".jsonl": lambda path, how: read_json_lines(path, how.encoding),
    ".ndjson": lambda path, how: read_json_lines(path, how.encoding),
    ".json": lambda path, how: read_json(path, how.encoding),
    ".csv": lambda path, how: read_csv(path, how.encoding, how.columns),
    ".tsv": lambda path, how: read_csv(path, how.encoding, how.columns),
    ".xlsx": _sheet,
    ".xlsm": _sheet,
    ".xls": _sheet,
    ".ods": _sheet,
    ".parquet": lambda path, how: read_parquet(path, how.columns),
    ".arrow": lambda path, how: read_arrow(path, how.columns),
    ".xml": _xml,
}
TEXT = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Files that have an encoding."""
