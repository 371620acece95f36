"""The audit in plain words, for the terminal: `Audit` -> lines of text."""

from __future__ import annotations

from packager.data.audit.report import Audit


def render_audit(audit: Audit) -> str:
    """The audit in plain words, for the terminal."""
    parts = [
        *_rows(audit), *_repetition(audit), *_split(audit), *_tokens(audit), *_text(audit), *_damage(audit),
        *_contradictions(audit),
    ]  # fmt: skip
    return "\n".join([*parts, *(f"! {note}" for note in audit.notes)])


def _rows(audit: Audit) -> list[str]:
    revision = f" at {audit.revision[:12]}" if audit.revision else ""
    lines = [f"{audit.source}{revision}: {count(audit.rows_read, 'row')} read, {audit.rows_kept:,} kept."]
    lines += [
        f"  {share.file}: {count(share.rows, 'row')}" + (f", {share.bad:,} that cannot be used" if share.bad else "")
        for share in audit.files
    ]
    lines += [f"  left out: {d.rows:,}, {d.reason} ({places(d.where, d.rows)})" for d in audit.dropped]
    return lines


def _repetition(audit: Audit) -> list[str]:
    found = audit.duplicates
    near = []
    if found.questions_joined < found.questions:
        near.append(count(found.questions_joined, "question"))
    if found.answers_joined < found.answers:
        near.append(count(found.answers_joined, "answer"))
    rest = f"; {' and '.join(near)} once near-duplicates are joined" if near else ""
    only = "only " if found.repeated_rows > found.rows // 2 else ""
    return [
        f"The {count(found.rows, 'row')} {'holds' if found.rows == 1 else 'hold'}"
        f" {only}{count(found.questions, 'distinct question')} and {count(found.answers, 'distinct answer')}{rest}."
    ]


def _split(audit: Audit) -> list[str]:
    lines = []
    if leak := audit.random_split:
        lines.append(
            f"A random split would leak: of {count(leak.heldout_rows, 'held-out row')},"
            f" {leak.answer_in_training:,} answers and {leak.question_in_training:,} questions would also be in"
            " training."
            if leak.answer_in_training or leak.question_in_training
            else f"A random split of {count(leak.heldout_rows, 'row')} would not leak."
        )
    if made := audit.split:
        topics = f", {made.heldout_topics} of {made.topics} topics" if made.topics else ""
        lines.append(
            f"The split made instead: {count(made.train_rows, 'row')} to train on"
            f" ({count(made.train_groups, 'group')}), {made.heldout_rows:,} held out"
            f" ({count(made.heldout_groups, 'group')}{topics}); {made.leaked} leaked."
        )
    return lines


def _tokens(audit: Audit) -> list[str]:
    found = audit.tokens
    if found is None:
        return ["Tokens a row: not counted, since no base model's tokenizer was at hand."]
    most = max((one.rows for one in found.histogram), default=0) or 1
    width = len(str(found.histogram[-1].high)) if found.histogram else 1
    bars = [
        f"  {one.low:>{width}}-{one.high:<{width}} {one.rows:>7,} {'#' * round(30 * one.rows / most)}"
        for one in found.histogram
    ]
    share = found.too_long / max(1, audit.rows_kept + found.too_long)
    ends = f"all end in {found.end_of_turn}" if not found.unterminated else f"{found.unterminated} do not end"
    return [
        f"Tokens a row: {found.shortest:,} to {found.longest:,}, median {found.median:,}, 95 % up to {found.p95:,};"
        f" {count(found.too_long, 'row')} ({share:.1%}) are over the limit of {found.limit:,}; {ends}.",
        *bars,
    ]


def _text(audit: Audit) -> list[str]:
    total = max(1, sum(audit.languages.values()))
    shares = ", ".join(
        f"{name} {count / total:.0%}" for name, count in sorted(audit.languages.items(), key=lambda kv: -kv[1])
    )
    lines = [f"Language of the answers: {shares or 'none'}."]
    if (other := audit.other_language) and other.rows:
        lines.append(
            f"  not in {audit.language}, the recipe's language: {count(other.rows, 'row')}, {other.share:.1%}"
            f" ({places(other.where, other.rows)})"
        )
    if not audit.identifiers:
        return [*lines, "Patient identifiers: none found."]
    done = {"redact": "replaced", "allow": "allowed by the recipe", "stop": "the build stops"}
    listed = [f"  {f.kind}: {f.count:,} ({places(f.where, f.count)})" for f in audit.identifiers]
    return [*lines, f"Patient identifiers found ({done[audit.identifiers_policy]}):", *listed]


def _damage(audit: Audit) -> list[str]:
    if not audit.damage:
        return ["Damaged text: none found."]
    lines = ["Damaged text:"]
    for found in audit.damage:
        mended = f"; {count(found.mended, 'row')} before it was mended" if found.mended else ""
        advice = f" (data.clean: [{found.kind}] mends it)" if found.mendable and found.rows and not mended else ""
        where = f" ({places(found.where, found.rows)})" if found.rows else ""
        lines.append(f"  {count(found.rows, 'row')}: {found.what}{where}{mended}{advice}")
    return lines


def _contradictions(audit: Audit) -> list[str]:
    if not audit.contradicting:
        return []
    lines = [
        f"Contradictions: {count(audit.contradicting, 'pair')} of rows ask nearly the same, and their answers disagree;"
        " decide which holds:"
    ]
    lines += [f"  {pair.one} and {pair.other}, in {pair.kind}" for pair in audit.contradictions]
    return lines + (["  ..."] if audit.contradicting > len(audit.contradictions) else [])


def count(number: int, thing: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def places(where: tuple[str, ...], total: int) -> str:
    """`lines 3, 9, ...`, or `a.csv:3, b.csv:9`."""
    numbers = all(one.isdecimal() for one in where)
    word = ("line " if total == 1 else "lines ") if numbers else ""
    return word + ", ".join(where) + (", ..." if total > len(where) else "")
