"""Sources and formats: what `data` of a recipe names -> conversations.

`read` gives every usable row and every bad one with its file, line and reason; `check` raises one
error that lists them (before any stage runs); `fingerprint` is what a result depends on besides
the recipe's text. Nothing heavy is imported.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packager.artifacts.files import key_of, sha256_of
from packager.data.rows.formats import Row, columns_of, row_of
from packager.data.rows.sources import Record, UnusableRow, files_of, read_file
from packager.errors import InputError
from packager.recipe.loading import located
from packager.recipe.sections import Data

SHOWN = 20


@dataclass(frozen=True)
class Table:
    """All rows of a source, in the order they were read."""

    rows: tuple[Row, ...]
    bad: tuple[UnusableRow, ...]
    files: tuple[str, ...]
    sha256: str
    """Of the file; of the names and hashes of all files, where there are several."""
    revision: str = ""
    """The commit, for a data set of the Hub."""

    @property
    def read(self) -> int:
        return len(self.rows) + len(self.bad)


def read_rows(config: Data) -> Table:
    """Every row of the source as messages. Raises `InputError` if the source as a whole is unusable."""
    files, revision = _files(config)
    base = _root(config, files)
    wanted = columns_of(config)
    rows: list[Row] = []
    bad: list[UnusableRow] = []
    seen: set[str] = set()
    for path in files:
        name = path.relative_to(base).as_posix()
        for record in read_file(path, config.encoding, wanted):
            if isinstance(record, Record):
                if not seen:
                    seen.update(record.values)
                made = row_of(Record(name, record.line, record.values), config)
            else:
                made = UnusableRow(name, record.line, record.reason)
            if isinstance(made, Row):
                rows.append(made)
            else:
                bad.append(made)
    if not rows and not bad:
        raise InputError(f"{config.source} holds no rows.", "export it again")
    _require_columns(config, rows, seen)
    digest = sha256_of(files[0]) if len(files) == 1 else _digest(files, base)
    return Table(tuple(rows), tuple(bad), tuple(p.relative_to(base).as_posix() for p in files), digest, revision)


def check_rows(config: Data) -> None:
    """Raise `InputError` with everything that is wrong with the source, before any stage runs.

    A data set of the Hub that is not on this machine yet is not looked at.
    """
    template_of(config)
    if config.source.startswith("hf:"):
        from packager.data.rows import hub_dataset

        if hub_dataset.cached(config) is None:
            return
    table = read_rows(config)
    refuse_bad(table.bad, table.read, config)


def refuse_bad(bad: Sequence[UnusableRow], read: int, config: Data) -> None:
    """Raise `InputError` that names the bad ones of the rows `read`, unless the recipe drops them and
    some are left."""
    if not bad or (config.bad_rows == "drop" and len(bad) < read):
        return
    listed = "\n".join(f"  - {problem}" for problem in named(bad))
    raise InputError(
        f"{len(bad)} of {read} rows of {config.source} cannot be used:\n{listed}",
        "correct them, or leave them out with data.bad_rows: drop",
    )


def named(bad: Sequence[UnusableRow], shown: int = SHOWN) -> list[str]:
    """The first bad rows as `file:line: reason`, and how many more there are."""
    lines = [f"{b.file}:{b.line}: {b.reason}" for b in bad[:shown]]
    return lines if len(bad) <= shown else [*lines, f"... and {len(bad) - shown} more"]


def first_columns(source: str, encoding: str = "utf-8") -> tuple[str, ...]:
    """The columns of the first readable row of a source; `InputError` if there is none."""
    config = Data(source=source, encoding=encoding)
    for path in _files(config)[0]:
        for record in read_file(path, config.encoding, ()):
            if isinstance(record, Record):
                return tuple(record.values)
    raise InputError(f"{source} holds no row that can be read.", "export it again")


def template_of(config: Data) -> str | None:
    """The Jinja source of `data.template`, given inline or as a path; None if the recipe sets none."""
    given = config.template
    if given is None or "{%" in given or "{{" in given:
        return given
    path = located(given)
    if not path.is_file():
        raise InputError(f"data.template: there is no file {given}.", "give a path, or the template itself")
    return path.read_text(encoding="utf-8")


def rows_fingerprint(config: Data) -> str:
    """One hash of what the rows and the template are read from: part of the stage's key.

    A data set of the Hub is known by its name and revision, which the recipe has: the network is
    not touched.
    """
    if config.source.startswith("hf:"):
        return key_of(template_of(config))
    files, _ = _files(config)
    return key_of(_digest(files, _root(config, files)), template_of(config))


def _files(config: Data) -> tuple[list[Path], str]:
    if config.source.startswith("hf:"):
        from packager.data.rows import hub_dataset

        path, commit = hub_dataset.local(config)
        return [path], commit
    source = located(config.source)
    if config.format == "medquad" and source.is_dir() and any(source.rglob("*.xml")):
        return files_of(source, (".xml",)), ""
    return files_of(source), ""


def _root(config: Data, files: Sequence[Path]) -> Path:
    source = located(config.source)
    return source if source.is_dir() else files[0].parent


def _digest(files: Sequence[Path], base: Path) -> str:
    return key_of([(p.relative_to(base).as_posix(), sha256_of(p)) for p in files])


def _require_columns(config: Data, rows: Sequence[Row], seen: set[str]) -> None:
    """Raise one error for a wrong column name, rather than the same one for every row."""
    missing = [column for column in columns_of(config) if column not in seen]
    if rows or not missing or not seen or config.format == "medquad":
        return
    near = [difflib.get_close_matches(m, seen, n=1) for m in missing]
    hint = next((f"did you mean '{found[0]}'? " for found in near if found), "")
    raise InputError(
        f"{config.source} has no column {' or '.join(repr(m) for m in missing)}; it has {', '.join(sorted(seen))}.",
        f"{hint}Name the columns in data.fields, and the kind of rows in data.format",
    )
