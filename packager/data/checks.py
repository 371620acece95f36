"""What the audit and the written rows say -> the data.* checks of the proof."""

from __future__ import annotations

from packager.artifacts.kinds import Check, verdict
from packager.data.audit.preparation import Prepared


def data_checks(prepared: Prepared, leaked: int, *, answers: bool) -> tuple[Check, ...]:
    """The checks of prepared rows, `leaked` of which are held out and in training; `answers`: whether an answer
    that is in both counts as well as a question."""
    tokens = prepared.audit.tokens
    assert tokens is not None
    total = len(prepared.train) + len(prepared.heldout) + tokens.too_long
    identifiers = sum(one.count for one in prepared.audit.identifiers)
    policy = prepared.audit.identifiers_policy
    what, more = ("question or answer", "") if answers else ("question", "; answers may repeat")
    return (
        verdict("data.no_leak", leaked, 0, "rows", leaked == 0,
              f"{leaked} of {len(prepared.heldout)} held-out rows have their {what} in the {len(prepared.train)} "
              f"trained{more}."),
        verdict("data.end_of_turn", tokens.unterminated, 0, "rows", tokens.unterminated == 0,
              f"{total - tokens.too_long - tokens.unterminated} of {total - tokens.too_long} rows end in a trained "
              f"{tokens.end_of_turn}, so that the model learns to stop."),
        verdict("data.left_out", round(tokens.too_long / total, 4), "recorded", "share", True,
              f"{tokens.too_long} of {total} rows were left out for their length."),
        verdict("data.identifiers", identifiers, "recorded" if policy != "stop" else 0, "identifiers",
              identifiers == 0 or policy != "stop",
              f"{identifiers} patient identifiers were found; the recipe says: {policy}."),
    )  # fmt: skip
