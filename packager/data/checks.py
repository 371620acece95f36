"""What the audit and the written rows say -> the data.* checks and figures of the proof."""

from __future__ import annotations

from packager.artifacts.checks import Check, Figure, verdict
from packager.data.audit.preparation import Prepared


def data_checks(prepared: Prepared, leaked: int, *, answers: bool) -> tuple[Check, ...]:
    """The checks of prepared rows, `leaked` of which are held out and in training; `answers`: whether an answer
    that is in both counts as well as a question."""
    tokens = prepared.audit.tokens
    assert tokens is not None
    total = len(prepared.train) + len(prepared.heldout) + tokens.too_long
    what, more = ("question or answer", "") if answers else ("question", "; answers may repeat")
    return (
        verdict("data.no_leak", leaked, 0, "rows", leaked == 0,
              f"{leaked} of {len(prepared.heldout)} held-out rows have their {what} in the {len(prepared.train)} "
              f"trained{more}."),
        verdict("data.end_of_turn", tokens.unterminated, 0, "rows", tokens.unterminated == 0,
              f"{total - tokens.too_long - tokens.unterminated} of {total - tokens.too_long} rows end in a trained "
              f"{tokens.end_of_turn}, so that the model learns to stop."),
    )  # fmt: skip


def data_figures(prepared: Prepared) -> tuple[Figure, ...]:
    """What was left out, and the identifiers that a recipe may allow: `refuse` has stopped what must not be."""
    audit = prepared.audit
    assert audit.tokens is not None
    total = len(prepared.train) + len(prepared.heldout) + audit.tokens.too_long
    identifiers = sum(one.count for one in audit.identifiers)
    return (
        Figure(id="data.left_out", measured=round(audit.tokens.too_long / total, 4), unit="share",
               says=f"{audit.tokens.too_long} of {total} rows were left out for their length."),
        Figure(id="data.identifiers", measured=identifiers, unit="identifiers",
               says=f"{identifiers} patient identifiers were found; the recipe says: {audit.identifiers_policy}."),
    )  # fmt: skip
