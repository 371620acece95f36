"""The sections of a recipe about the clinic: its page, and the machine that it has."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from packager.recipe.sections import Section


class Clinic(Section):
    title: str = Field(default="", max_length=60)
    """What the clinic's page is called, for people; empty: "Assistente de perguntas e respostas"."""
    demonstration: bool = False
    """Page and LEIA-ME say that this model only shows how it works, and is not for use with patients."""
    feedback: bool = False
    """The page lets people note what is wrong with an answer. The notes stay in the browser, without what looks like a
    patient's identifier, until somebody exports them (docs/dossier.md)."""


class Device(Section):
    ram_gb: float = Field(default=4.0, gt=0)
    """Memory of the clinic's machine that the model may use, in GB (10^9 bytes)."""
    min_tokens_per_second: float = Field(default=5.0, ge=0)
    """Slower generation than this fails the proof."""
    max_seconds_to_first_token: float = Field(default=20.0, gt=0)
    """A later first token than this fails the proof."""
    prompt_tokens: int = Field(default=0, ge=0)
    """Tokens of the longest prompt that is served, if it is longer than those of `smoke`: system message, passages,
    question. The wait for the first token is measured at that length."""
    prefer: Literal["order", "quality"] = "order"
    """Which file is the package's default, of those that fit: 'order', the first of quantize.types; 'quality',
    the one that diverges least from F16. Where the first does not fit, it is the latter in any case."""
