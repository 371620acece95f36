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
from packager.data.rows.columns import check_no_row
from packager.data.rows.formats import Row, columns_read, missing_columns, row_of
from packager.data.rows.recognise import columns_in, shape_of
from packager.data.rows.records import Record, UnusableRow
from packager.data.rows.sources import Files, Reading, files_of, read_file
from packager.errors import InputError, PackagerError, together
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
    mended: tuple[tuple[Row, Row], ...] = ()
    """Rows that `data.clean` changed, before and after."""
    other_splits: tuple[str, ...] = ()
    """Files of other splits than the one read."""
    unread: tuple[str, ...] = ()
    """Files of the folder that are of no known type, and links to folders or to nothing."""

    @property
    def read(self) -> int:
        return len(self.rows) + len(self.bad)


def read_rows(config: Data) -> Table:
    """Every row of the source as messages. Raises `InputError` if the source as a whole is unusable."""
    files, revision = files_in(config)
    base = _root(config, files.read)

    def named(paths: Sequence[Path]) -> tuple[str, ...]:
        return tuple(p.relative_to(base).as_posix() for p in paths)

    rows: list[Row] = []
    bad: list[UnusableRow] = []
    mended: list[tuple[Row, Row]] = []
    for path, name in zip(files.read, named(files.read), strict=True):
        of_file = _config_of(path, name, config)
        seen: set[str] = set()
        before = len(rows)
        for record in read_file(path, Reading(config.encoding, config.sheet, columns_read(of_file))):
            if isinstance(record, Record):
                seen = seen or set(record.values)
                made = row_of(Record(name, record.line, record.values), of_file)
                if of_file.clean and isinstance(made, Row):
                    given = row_of(Record(name, record.line, record.values), of_file.model_copy(update={"clean": ()}))
                    mended += [(given, made)] if isinstance(given, Row) and given != made else []
            else:
                made = UnusableRow(name, record.line, record.reason)
            if isinstance(made, Row):
                rows.append(made)
            else:
                bad.append(made)
        if len(rows) == before and (len(files.read) == 1 or config.format != "medquad"):
            _require_columns(name if len(files.read) > 1 else config.source, of_file, seen)
    if not rows and not bad:
        raise InputError(f"{config.source} holds no rows.", "export it again")
    digest = sha256_of(files.read[0]) if len(files.read) == 1 else _digest(files.read, base)
    others = named([path for paths in files.other_splits.values() for path in paths])
    return Table(
        tuple(rows), tuple(bad), named(files.read), digest, revision, tuple(mended), others, named(files.unread)
    )


def _config_of(path: Path, name: str, config: Data) -> Data:
    """How one file is read: as the recipe says, or in a folder of mixed files as its own columns say."""
    if config.format != "mixed":
        return config
    columns = columns_in(path, Reading(config.encoding, config.sheet))
    if not columns:
        return config.model_copy(update={"format": "qa"})
    shape = shape_of(name, columns)
    fields = shape.fields.model_copy(
        update={"topic": config.fields.topic and shape.fields.topic, "source": config.fields.source}
    )
    return config.model_copy(update={"format": shape.format, "fields": fields})


def check_rows(config: Data) -> Table | None:
    """The rows; raises `InputError` with every one that cannot be used, before any stage runs.

    A data set of the Hub that is not on this machine yet is not looked at (None).
    """
    problems: list[PackagerError] = []
    table = None
    try:
        template_of(config)
    except InputError as error:  # it does not hide what is wrong with the rows
        problems.append(error)
    try:
        if _is_here(config):
            table = read_rows(config)
            refuse_bad(table.bad, table.read, config)
    except PackagerError as error:
        problems.append(error)
    if problems:
        raise together(problems)
    return table


def _is_here(config: Data) -> bool:
    if not config.source.startswith("hf:"):
        return True
    from packager.data.rows import hub_dataset

    return hub_dataset.cached(config) is not None


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


def template_of(config: Data) -> str | None:
    """The Jinja source of `data.template`, given inline or as a path; None if the recipe sets none."""
    given = config.template
    if given is None or "{%" in given or "{{" in given:
        return given
    path = located(given)
    if not path.is_file():
        raise InputError(f"data.template: there is no file {given}.", "give a path, or the template itself")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"data.template: {given} is not UTF-8 text.", "save it as UTF-8") from error


def rows_fingerprint(config: Data) -> str:
    """One hash of what the rows and the template are read from: part of the stage's key.

    A data set of the Hub is known by its name and revision, which the recipe has: the network is
    not touched.
    """
    if config.source.startswith("hf:"):
        return key_of(template_of(config))
    files, _ = files_in(config)
    return key_of(_digest(files.read, _root(config, files.read)), template_of(config))


def files_in(config: Data) -> tuple[Files, str]:
    """The files of a source and, for a data set of the Hub, its commit."""
    if config.source.startswith("hf:"):
        from packager.data.rows import hub_dataset

        path, commit = hub_dataset.local(config)
        return Files((path,), {}), commit
    source = located(config.source)
    if config.format == "medquad" and source.is_dir() and any(source.rglob("*.xml")):
        return files_of(source, (".xml",)), ""
    return files_of(source, split=config.hub_split), ""


def _root(config: Data, files: Sequence[Path]) -> Path:
    source = located(config.source)
    return source if source.is_dir() else files[0].parent


def _digest(files: Sequence[Path], base: Path) -> str:
    return key_of([(p.relative_to(base).as_posix(), sha256_of(p)) for p in files])


def _require_columns(source: str, config: Data, seen: set[str]) -> None:
    """Raise one error for a wrong column name, rather than the same one for every row."""
    missing = missing_columns(seen, config)
    if not missing or not seen or config.format == "medquad":
        return
    check_no_row(source, sorted(seen))
    try:
        shape = shape_of(source, sorted(seen))
    except InputError:
        pass
    else:
        told = (
            ""
            if shape.format != "qa"
            else f", fields: {{question: {shape.fields.question}, answer: {shape.fields.answer}}}"
        )
        raise InputError(
            f"{source} has no column {' or '.join(repr(m) for m in missing)}; it has {', '.join(sorted(seen))}.",
            f"write in the recipe data: {{format: {shape.format}{told}}}, by the names of its columns",
        )
    near = [difflib.get_close_matches(m, seen, n=1) for m in missing]
    hint = next((f"did you mean '{found[0]}'? " for found in near if found), "")
    raise InputError(
        f"{source} has no column {' or '.join(repr(m) for m in missing)}; it has {', '.join(sorted(seen))}.",
        f"{hint}Name the columns in data.fields, and the kind of rows in data.format",
    )
