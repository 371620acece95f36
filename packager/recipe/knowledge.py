"""The fields of a recipe's approved material."""

from __future__ import annotations

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
    threshold: float | None = Field(default=None, ge=0, le=2)
    """The score below which nothing is shown (default: chosen from the material, docs/knowledge.md)."""

    @model_validator(mode="after")
    def _something_is_taken(self) -> Knowledge:
        if not self.rows and self.folder is None:
            raise ValueError("there is nothing to take: give a folder, or rows: true")
        return self
