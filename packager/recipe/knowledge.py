"""The fields of a recipe's approved material."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from packager.recipe.sections import Section


class Knowledge(Section):
    rows: bool = True
    """Take the recipe's own rows, trained and held out; data.fields.source names the column with their document."""
    folder: str | None = None
    """A folder of documents (.md, .txt, .html, .pdf, .docx) that are cut into passages."""
    questions: str | None = None
    """Questions as people type them (.jsonl: question, and row or rows: the lines of the data that answer it, none for
    a question that nothing answers); without, held-out questions are typed as people type by the build."""
    mode: Literal["approved", "assisted"] = "approved"
    """The most that the clinic's page may leave to the model. approved: the material word for word, the model silent;
    assisted: below it the model's words, written from the passages and held against them. The proof decides whether
    assisted holds; if not, the package comes out approved."""
    passages: int = Field(default=3, ge=1, le=3)
    """assisted: how many of the passages that are shown stand in the model's prompt, at most."""
    train_share: float = Field(default=0.5, ge=0, le=1)
    """assisted: the share of the training rows that are also trained with passages in the prompt, the right one among
    near ones; each fifth of these without the right one, answered by the refusal."""
    asked: int = Field(default=24, ge=8, le=1000)
    """assisted: questions that every packaged file is asked in the proof, with passages and without."""
    threshold: float | None = Field(default=None, ge=0, le=2)
    """The score below which nothing is shown, and from which a passage is shown as the answer (default: two scores,
    chosen from the material, docs/knowledge.md)."""

    @model_validator(mode="after")
    def _something_is_taken(self) -> Knowledge:
        if not self.rows and self.folder is None:
            raise ValueError("there is nothing to take: give a folder, or rows: true")
        return self
