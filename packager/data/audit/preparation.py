"""The data audit: rows -> the rows that can be trained on, their split, and all that was found out.

`prepare` is what the data stage and `packager audit` share. It changes nothing on disk. Bad rows
and patient identifiers are counted here; whether they stop a build is `refuse`'s part.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from packager.data.audit import identifiers
from packager.data.audit.contradictions import contradictions
from packager.data.audit.findings import SHOWN, Place, damage, left_unread, notes, pairs, shares
from packager.data.audit.leak import leaked, random_leak
from packager.data.audit.lengths import Measurer, RowTokens, tokens_of
from packager.data.audit.rendering import places
from packager.data.audit.report import (
    Audit,
    Dropped,
    Duplicates,
    IdentifierCount,
    Leak,
    OtherLanguage,
    SplitSummary,
)
from packager.data.audit.split import Groups, SplitRows, deduplicate, group, split
from packager.data.language import language_of
from packager.data.rows.formats import Row
from packager.data.rows.records import UnusableRow
from packager.data.rows.table import Table, refuse_bad
from packager.errors import InputError
from packager.recipe.sections import Data


@dataclass(frozen=True)
class Prepared:
    """The outcome: what to train on, what to hold out, and the audit."""

    train: tuple[Row, ...]
    heldout: tuple[Row, ...]
    train_tokens: int
    heldout_tokens: int
    bad: tuple[UnusableRow, ...]
    audit: Audit
    choosing: tuple[Row, ...] = ()
    """Those of `heldout` that may choose between models, where there are enough."""
    choosing_tokens: int = 0
    mended: tuple[tuple[Row, Row], ...] = ()
    """Rows that `data.clean` changed, before and after."""


OF_A_PUBLISHER = ("E-MAIL", "TELEFONE")
"""What in a source is the address or number of who published it: no sign of a patient."""


def prepare(config: Data, table: Table, measure: Measurer | None = None, language: str = "") -> Prepared:
    """Redact, deduplicate, measure and split the rows of a table.

    `measure` counts a row's tokens (None: lengths are not judged). Rows that cannot be split are
    all given as training rows.
    """
    place = _placer(table)
    usable, found = _identifiers(table.rows, place, redacting=config.identifiers == "redact")
    every = group(usable, config.split.group_by)
    single = deduplicate(usable) if config.deduplicate else usable
    kept, measured, bad = measure(single) if measure else (single, {}, [])
    bad = [*table.bad, *bad]
    fitting = [row for row in kept if not measure or measured[id(row)].tokens <= config.max_tokens]
    groups = every.of({id(row) for row in fitting}, usable)
    made = split(fitting, groups, config.split) if len(groups.rows) > 1 else None
    train, heldout, choosing = _parts(fitting, made)
    audit = Audit(
        source=_named(config.source),
        sha256=table.sha256,
        revision=table.revision,
        format=config.format,
        rows_read=table.read,
        rows_kept=len(fitting),
        dropped=(*_reasons(bad, place), *_dropped("repeat another row", _missing(usable, single), place),
                 *_dropped(f"longer than {config.max_tokens} tokens", _missing(kept, fitting), place)),
        duplicates=_duplicates(usable, every),
        random_split=_random(groups, len(fitting), len(heldout), config) if made else None,
        split=_made(groups, made, train, heldout, config) if made else None,
        tokens=tokens_of(list(measured.values()), config.max_tokens) if measured else None,
        **_languages(fitting, language, place),
        identifiers=found,
        identifiers_policy=config.identifiers,
        notes=(),
        files=shares(table),
        damage=damage(table, place),
        **_contradictions(usable, every, place),
    )  # fmt: skip
    return Prepared(
        train=tuple(train),
        heldout=tuple(heldout),
        train_tokens=_tokens(train, measured),
        heldout_tokens=_tokens(heldout, measured),
        bad=tuple(bad),
        audit=audit.model_copy(update={"notes": (*notes(audit, config, fitting), *left_unread(table))}),
        choosing=tuple(choosing),
        choosing_tokens=_tokens(choosing, measured),
        mended=table.mended,
    )


def _named(source: str) -> str:
    """Without the folders of this machine."""
    return source if source.startswith("hf:") else PurePath(source).name or source


def _parts(rows: list[Row], made: SplitRows | None) -> list[list[Row]]:
    """The rows to train on, those held out, and those of the latter that may choose."""
    return [[rows[i] for i in part] for part in (made.train, made.heldout, made.choosing)] if made else [rows, [], []]


def _languages(rows: Sequence[Row], language: str, place: Place) -> dict[str, Any]:
    """What the answers are written in, and those that are not in the recipe's language."""
    spoken = [language_of(row.answer) for row in rows]
    other = _other_language(rows, spoken, language, place) if language else None
    return {"languages": dict(Counter(spoken)), "language": language, "other_language": other}


def _contradictions(rows: Sequence[Row], groups: Groups, place: Place) -> dict[str, Any]:
    """How many pairs of near-equal questions have answers that disagree, and some of them."""
    disagreeing = list(contradictions(rows, groups.questions))
    return {"contradictions": pairs(disagreeing, place), "contradicting": len(disagreeing)}


def _tokens(rows: Sequence[Row], measured: Mapping[int, RowTokens]) -> int:
    return sum(measured[id(row)].tokens for row in rows) if measured else 0


def refuse(config: Data, prepared: Prepared) -> None:
    """Raise `InputError` for what must not be trained on: bad rows, identifiers, too many long rows,
    rows that cannot be split."""
    audit = prepared.audit
    refuse_bad(prepared.bad, audit.rows_read, config)
    if config.identifiers == "stop":
        refuse_identifiers(audit.source, audit.identifiers)
    too_long = audit.tokens.too_long if audit.tokens else 0
    total = audit.rows_kept + too_long
    if too_long > config.max_left_out * total:
        assert audit.tokens is not None
        raise InputError(
            f"{too_long} of {total} rows ({too_long / total:.1%}) are longer than data.max_tokens ="
            f" {config.max_tokens}; {config.max_left_out:.1%} may be left out (data.max_left_out)."
            f" The longest has {audit.tokens.longest}.",
            f"raise data.max_tokens (95 % of the rows have up to {audit.tokens.p95}), or data.max_left_out",
        )
    if audit.split is None:
        raise InputError(
            f"The {audit.rows_kept} rows of {audit.source} share one question or answer, or there is only one:"
            " none can be held out without a leak.",
            "add rows with other questions and answers",
        )


def identifiers_in(table: Table) -> tuple[IdentifierCount, ...]:
    """The patient identifiers in the rows of a table, by kind."""
    return _identifiers(table.rows, _placer(table), redacting=False)[1]


def refuse_identifiers(source: str, found: Sequence[IdentifierCount]) -> None:
    """Raise `InputError` that names the kinds and lines, if there are any."""
    if found:
        listed = "\n".join(f"  - {f.kind}: {f.count} ({places(f.where, f.count)})" for f in found)
        raise InputError(
            f"{source} holds what look like patient identifiers:\n{listed}",
            "remove them, have them replaced with data.identifiers: redact, or, if they identify nobody, allow them",
        )


def _placer(table: Table) -> Place:
    """How a row is named: by its line, and by its file where there are several."""
    if len(table.files) == 1:
        return lambda row: str(row.line)
    return lambda row: f"{row.file}:{row.line}"


def _identifiers(
    rows: Sequence[Row], place: Place, *, redacting: bool
) -> tuple[list[Row], tuple[IdentifierCount, ...]]:
    counts: Counter[str] = Counter()
    where: dict[str, list[str]] = defaultdict(list)
    kept = []
    for row in rows:
        texts = [identifiers.redact(content) for _, content in row.messages]
        # Neither is trained, but both are written out, and a source is shown on the clinic's page.
        topic, source = (identifiers.redact(text or "") for text in (row.topic, row.source))
        kinds = [kind for _, found in (*texts, topic) for kind in found]
        kinds += [kind for kind in source[1] if kind not in OF_A_PUBLISHER]
        counts.update(kinds)
        for kind in dict.fromkeys(kinds):
            where[kind].append(place(row))
        if (kinds or source[1]) and redacting:
            messages = tuple((role, text) for (role, _), (text, _) in zip(row.messages, texts, strict=True))
            row = replace(row, messages=messages, topic=topic[0] or None, source=source[0] or None)
        kept.append(row)
    found = tuple(
        IdentifierCount(kind=k, count=counts[k], where=tuple(where[k][:SHOWN])) for k in identifiers.KINDS if counts[k]
    )
    return kept, found


def _other_language(rows: Sequence[Row], spoken: Sequence[str], wanted: str, place: Place) -> OtherLanguage:
    known = (wanted.partition("-")[0], "unknown")
    other = [place(row) for row, language in zip(rows, spoken, strict=True) if language not in known]
    return OtherLanguage(rows=len(other), share=round(len(other) / max(1, len(rows)), 4), where=tuple(other[:SHOWN]))


def _duplicates(rows: Sequence[Row], groups: Groups) -> Duplicates:
    return Duplicates(
        rows=len(rows),
        questions=len({row.question for row in rows}),
        questions_joined=len(set(groups.questions)),
        answers=len({row.answer for row in rows}),
        answers_joined=len(set(groups.answers)),
        repeated_rows=len(rows) - len(deduplicate(rows)),
    )


def _random(groups: Groups, rows: int, heldout: int, config: Data) -> Leak:
    questions, answers = random_leak(groups, rows, heldout, config.split.seed)
    return Leak(heldout_rows=heldout, question_in_training=questions, answer_in_training=answers)


def _made(groups: Groups, made: SplitRows, train: Sequence[Row], heldout: Sequence[Row], config: Data) -> SplitSummary:
    return SplitSummary(
        train_rows=len(train),
        heldout_rows=len(heldout),
        train_groups=len(groups.rows) - made.heldout_groups,
        heldout_groups=made.heldout_groups,
        choosing_groups=made.choosing_groups,
        topics=len({row.topic for row in (*train, *heldout)} - {None}),
        heldout_topics=len({row.topic for row in heldout} - {None}),
        leaked=len(leaked(train, heldout, answers=config.split.group_by != "question")),
    )


def _reasons(bad: Sequence[UnusableRow], place: Place) -> list[Dropped]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for one in bad:
        by_reason[one.reason].append(place(one))
    return [
        Dropped(reason=reason, rows=len(where), where=tuple(where[:SHOWN]), unusable=True)
        for reason, where in by_reason.items()
    ]


def _dropped(reason: str, rows: Sequence[Row], place: Place) -> list[Dropped]:
    where = tuple(place(row) for row in rows[:SHOWN])
    return [Dropped(reason=reason, rows=len(rows), where=where, unusable=False)] if rows else []


def _missing(before: Sequence[Row], after: Sequence[Row]) -> list[Row]:
    kept = {id(row) for row in after}
    return [row for row in before if id(row) not in kept]
