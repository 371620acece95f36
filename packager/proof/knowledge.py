"""What the approved material found and refused -> the knowledge.* checks and figures of the proof."""

from __future__ import annotations

from collections.abc import Sequence

from packager.artifacts.checks import Check, Figure, verdict
from packager.artifacts.knowledge import Assisted, Knowledge
from packager.recipe.sections import Thresholds

MODES = {
    "approved": "The clinic's page shows the approved material word for word with its source; the model is silent.",
    "assisted": "The clinic's page shows the approved material word for word with its source, and below it the model's"
    " words, held against it.",
}


def knowledge_checks(made: Knowledge, limits: Thresholds) -> tuple[Check, ...]:
    """Found among the first one and three, and refused where the recipe has questions outside the material."""
    whose = "as people type them" if made.by_people else "of held-out passages, typed by the build"
    checks = [
        verdict("knowledge.found_first", round(made.found_first, 4), limits.min_found_first, "share",
                made.found_first >= limits.min_found_first,
                f"The right passage came first for {made.found_first:.1%} of {made.asked} questions {whose}."),
        verdict("knowledge.found_three", round(made.found_three, 4), limits.min_found_three, "share",
                made.found_three >= limits.min_found_three,
                f"It was among the first three for {made.found_three:.1%} of them."),
    ]  # fmt: skip
    if made.silent is not None:
        checks.append(
            verdict("knowledge.silent", round(made.silent, 4), limits.min_silent, "share",
                    made.silent >= limits.min_silent,
                    f"{made.silent:.1%} of {made.outside} questions outside the approved material are refused.")
        )  # fmt: skip
    if made.unclaimed is not None:
        checks.append(
            verdict("knowledge.unclaimed", round(made.unclaimed, 4), limits.min_unclaimed, "share",
                    made.unclaimed >= limits.min_unclaimed,
                    f"{made.unclaimed:.1%} of {made.asked_near} questions about the same that it does not answer are"
                    " refused, or shown the closest passage as no more than that.")
        )  # fmt: skip
    return (*made.checks, *checks)


def mode_of(wanted: str | None, figures: Sequence[Figure], limits: Thresholds) -> tuple[str, str]:
    """How the clinic's page answers, and why no more is left to the model.

    `wanted` is the recipe's `knowledge.mode`, None without approved material; `figures` are the proof's.
    """
    if wanted is None:
        return "free", ""
    if wanted == "approved":
        return "approved", "The recipe leaves nothing to the model (knowledge.mode)."
    least = {"knowledge.grounded": limits.min_grounded, "knowledge.better": limits.min_better}
    lacking = [
        f"{f.id} of {f.subject} is {f.measured}, and {least[f.id]:g} is the least"
        for f in figures
        if f.id in least and float(f.measured) < least[f.id]
    ]
    if not any(f.id in least for f in figures):
        return "approved", "No question was answered with passages, so nothing shows that assisted holds."
    if lacking:
        return "approved", f"The model's own words are not shown: {'; '.join(lacking)}."
    return "assisted", "The recipe asks for assisted, and every packaged file keeps its limits."


def assisted_figures(measured: Sequence[Assisted], limits: Thresholds) -> list[Figure]:
    """knowledge.grounded and knowledge.better of each file: what the mode `assisted` rests on."""
    found = []
    for one in measured:
        found += [
            Figure(id="knowledge.grounded", subject=one.type, measured=round(one.grounded, 4), unit="share",
                   says=f"{one.type}: of {one.grounded:.1%} of {one.asked} answers from passages nothing is struck"
                   f" (assisted needs {limits.min_grounded:.0%}); {one.sentences_struck} sentences are struck."),
            Figure(id="knowledge.better", subject=one.type, measured=round(one.gain_low, 4), unit="token F1",
                   says=f"{one.type}: answers from passages are closer to the approved ones by {one.gain:.3f}"
                   f" [{one.gain_low:.3f}, {one.gain_high:.3f}] in token F1 ({one.f1_with:.3f} against"
                   f" {one.f1_without:.3f}; assisted needs the lower end to be {limits.min_better:g} at least)."),
        ]  # fmt: skip
    return found


def mode_figure(mode: str, because: str) -> Figure:
    """The mode, for card, report and manifest."""
    return Figure(id="knowledge.mode", measured=mode, unit="mode", says=f"{MODES[mode]} {because}".strip())


def _named(found: Sequence[str], what: str) -> str:
    return f"{len(found)} {what}{': ' + ', '.join(found[:5]) if found else ''}."


def knowledge_figures(made: Knowledge) -> tuple[Figure, ...]:
    """What travels with the model, and how much of what it holds is shown."""
    return (
        Figure(id="knowledge.passages", measured=made.passages, unit="passages",
               says=f"{made.passages} approved passages from {len(made.sources)} sources travel with the model;"
               " `packager ask` shows them word for word."),
        Figure(id="knowledge.duplicates", measured=len(made.duplicates), unit="passages",
               says=_named(made.duplicates, "passages were there before")),
        Figure(id="knowledge.contradictions", measured=len(made.contradictions), unit="passages",
               says=_named(made.contradictions, "pairs answer near-equal questions unlike")),
        Figure(id="knowledge.kept", measured=round(made.kept, 4), unit="share",
               says=f"A passage is shown for {made.kept:.1%} of the {made.asked} questions that the material answers:"
               f" for {made.kept_sure:.1%} as the answer (score {made.sure:.3f} and more), for the rest as the closest"
               f" ({made.near:.3f} and more). The others are refused."),
    )  # fmt: skip
