"""What the audit says beside its figures: each file's share, damage, contradictions, advice.

Rows and how a row is named -> parts of an `Audit`, with at most `SHOWN` places each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from packager.data.audit import contradictions
from packager.data.audit.damage import damaged
from packager.data.audit.rendering import count
from packager.data.audit.report import FEWEST, Audit, Contradiction, Damage, Share
from packager.data.rows.formats import Row
from packager.data.rows.records import UnusableRow
from packager.data.rows.table import Table
from packager.recipe.sections import Data

SHOWN = 10
"""How many places a message names."""
Place = Callable[[Row | UnusableRow], str]


def pairs(found: Sequence[contradictions.Contradiction], place: Place) -> tuple[Contradiction, ...]:
    """The first contradictions, each row by its place."""
    return tuple(
        Contradiction(kind=pair.kind, one=_named(pair.one, place), other=_named(pair.other, place))
        for pair in found[:SHOWN]
    )


def _named(row: Row, place: Place) -> str:
    where = place(row)
    return f"line {where}" if where.isdecimal() else where


def shares(table: Table) -> tuple[Share, ...]:
    if len(table.files) == 1:
        return ()
    rows, bad = Counter(row.file for row in table.rows), Counter(row.file for row in table.bad)
    return tuple(Share(file=name, rows=rows[name], bad=bad[name]) for name in table.files)


def damage(table: Table, place: Place) -> tuple[Damage, ...]:
    """What is damaged now, and what was before `data.clean`."""
    now = {kind: rows for kind, rows in damaged(table.rows)}
    given = {(after.file, after.line): before for before, after in table.mended}
    before = dict(damaged([given.get((row.file, row.line), row) for row in table.rows])) if given else now
    return tuple(
        Damage(
            kind=kind.name,
            what=kind.what,
            rows=len(now.get(kind, ())),
            where=tuple(place(row) for row in now.get(kind, ())[:SHOWN]),
            mended=max(0, len(before.get(kind, ())) - len(now.get(kind, ()))),
            mendable=kind.mendable,
        )
        for kind in {**before, **now}
    )


def left_unread(table: Table) -> Iterable[str]:
    """What lies in a folder and was not read."""
    if table.other_splits:
        yield f"Kept apart as other splits, not read here: {', '.join(table.other_splits[:SHOWN])}."
    if table.unread:
        more = f" and {len(table.unread) - SHOWN} more" if len(table.unread) > SHOWN else ""
        yield (
            "Not read, being of no known type, or a link to a folder or to nothing: "
            f"{', '.join(table.unread[:SHOWN])}{more}."
        )


def notes(audit: Audit, config: Data, rows: Sequence[Row]) -> Iterable[str]:
    unusable = sum(one.rows for one in audit.dropped if one.unusable)
    if unusable and config.bad_rows == "stop":
        yield (
            f"A build stops at the {count(unusable, 'row')} that cannot be used: correct them, or leave them out with "
            "data.bad_rows: drop."
        )
    found = audit.duplicates
    if found.repeated_rows > found.rows // 10 and not config.deduplicate:
        effect = (
            f"most of the training would repeat the same {found.answers:,} answers"
            if found.repeated_rows > found.rows // 2
            else f"{found.repeated_rows / found.rows:.0%} of the training would repeat the rest"
        )
        yield (
            f"{found.repeated_rows:,} rows only repeat another row's question and answer: {effect}. "
            f"data.deduplicate: true keeps one of each, {found.rows - found.repeated_rows:,} rows."
        )
    unmatched = sum(row.answer.endswith(")") and row.answer.count(")") > row.answer.count("(") for row in rows)
    if config.format == "medquad" and unmatched > len(rows) // 2:
        yield (
            f"{unmatched:,} answers end in a ')' that nothing opens; a model would learn to write it. "
            "data.unmatched_bracket: drop leaves it out."
        )
    if audit.split and audit.split.heldout_groups < FEWEST:
        yield (
            f"Only {count(audit.split.heldout_rows, 'row')} in {count(audit.split.heldout_groups, 'group')} held out: "
            f"with fewer than {FEWEST} groups no difference can be told from chance. Add rows, or raise "
            "data.split.fraction."
        )
    if audit.other_language and audit.other_language.share > 0.5:
        yield f"Most answers are not in {audit.language}, the recipe's language."
