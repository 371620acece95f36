"""Parquet and Arrow files, and folders that the `datasets` library saved: columns -> records by row number.

Only the wanted columns are read: what nobody asked for may hold anything. A value that Python cannot hold (a date
after the year 9999, a time zone it does not know) in a wanted column is a `UnusableRow` record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.data.rows.columns import check_once, column
from packager.data.rows.records import Record, UnusableRow
from packager.errors import InputError, MissingResource

if TYPE_CHECKING:
    import pyarrow


def read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    """The rows of a Parquet file, with the wanted columns of it; with none wanted, names without values."""
    yield from _read(path, columns, _parquet_batches)


def read_arrow(path: Path, columns: Sequence[str]) -> Iterator[Record | UnusableRow]:
    """The rows of an Arrow file, as a stream (what `save_to_disk` writes) or with an index at its end."""
    yield from _read(path, columns, _arrow_batches)


Batches = Callable[[Path, Callable[[Sequence[str]], list[str]]], Iterator["pyarrow.RecordBatch"]]


def _read(path: Path, columns: Sequence[str], batches: Batches) -> Iterator[Record | UnusableRow]:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingResource("Reading this file needs pyarrow.", "pip install pyarrow, or export JSONL") from error
    every: list[str] = []
    chosen: list[str] = []
    number = 0

    def choose(names: Sequence[str]) -> list[str]:
        check_once(path.name, names)
        every.extend(names)
        chosen.extend(dict.fromkeys(name for wanted in columns if (name := column(names, wanted))))
        return chosen or list(names[:1])  # without a column there would be no rows to count

    try:
        for batch in batches(path, choose):
            others = dict.fromkeys(every)
            for row in range(batch.num_rows):
                number += 1
                yield _row(path.name, number, batch, row, others, chosen)
    except (pyarrow.ArrowException, OSError) as error:
        kind = "an Arrow" if path.suffix == ".arrow" else "a Parquet"
        raise InputError(
            f"{path.name} is not {kind} file that can be read: {_first_line(error)}",
            "export it again",
        ) from error


def _row(
    name: str, number: int, batch: pyarrow.RecordBatch, row: int, others: dict[str, None], chosen: Sequence[str]
) -> Record | UnusableRow:
    values: dict[str, Any] = dict(others)
    for field in chosen:
        try:
            values[field] = batch.column(field)[row].as_py()
        except Exception as error:  # whatever Python's dates, zones and decoders refuse
            return UnusableRow(
                name,
                number,
                f"'{field}' holds a value that cannot be read, such as a date after the year 9999 or"
                f" an unknown time zone ({type(error).__name__})",
            )
    return Record(name, number, values)


def _parquet_batches(path: Path, choose: Callable[[Sequence[str]], list[str]]) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=2048, columns=choose(file.schema_arrow.names))


def _arrow_batches(path: Path, choose: Callable[[Sequence[str]], list[str]]) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow
    from pyarrow import ipc

    with pyarrow.OSFile(str(path)) as file:
        stream = file.read(6) != b"ARROW1"
        file.seek(0)
        reader = ipc.open_stream(file) if stream else ipc.open_file(file)
        wanted = choose(reader.schema.names)
        listed = reader if stream else (reader.get_batch(i) for i in range(reader.num_record_batches))
        for batch in listed:
            yield batch.select(wanted)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
