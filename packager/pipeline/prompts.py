"""A recipe and the small files of its base -> that the prompts will be served as they are trained, for `check`.

What the data and prompt stages prove on the recipe's rows is proven here on the corpus, in seconds and without
weights. Fails with one `InputError` that names every failed check.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from packager.artifacts.checks import Check
from packager.artifacts.kinds import Checkpoint
from packager.checkpoint.locate import Located
from packager.data.rows.table import template_of
from packager.errors import InputError
from packager.process import child
from packager.prompt.corpus import CORPUS, read_conversations, write_corpus
from packager.prompt.frozen import frozen_template, write_frozen
from packager.prompt.ollama.composed import refuse_unservable
from packager.prompt.servable import must_fit
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Serve


def check_prompts(recipe: Recipe, base: Located) -> None:
    """Raise `InputError` if prompts would be served otherwise than they are trained.

    Weights need not be there. What the base stage writes anew, unpacked from a GGUF file or taken out of a larger
    model, is proven after it.
    """
    if (
        base.is_gguf
        or json.loads((base.path / "config.json").read_text("utf-8"))["architectures"][0] != base.architecture
    ):
        return
    proven = child.call(_prove, base, template_of(recipe.data), recipe.data.system, recipe.serve)
    failed = [check for check in proven.value if check.failed]
    if failed:
        raise InputError(
            "The prompts of training would not be those that are served:\n"
            + "\n".join(f"  ✗ {check.id}: {check.says}" for check in failed),
            "give another template in data.template, or use another base",
        )


def _prove(base: Located, given: str | None, system: str | None, serve: Serve) -> tuple[Check, ...]:
    from packager.checkpoint.unpack import link_checkpoint
    from packager.checkpoint.vocabulary import write_vocabulary
    from packager.proof.prompts import prove_prompts

    with tempfile.TemporaryDirectory() as aside:
        model, data, out = (Path(aside, name) for name in ("model", "data", "out"))
        for folder in (model, data, out):
            folder.mkdir()
        link_checkpoint(base.path, model)
        frozen = frozen_template(model, given)
        refuse_unservable(frozen, model, system)
        write_frozen(frozen, model, data)
        must_fit(data, frozen.roles, system, serve)
        write_corpus(data, system)
        checkpoint = Checkpoint(
            folder=model, source=base.source, architecture=base.architecture, parameters=base.parameters
        )
        vocabulary = write_vocabulary(checkpoint, data, out)
        return prove_prompts(vocabulary, data, list(read_conversations(data / CORPUS)), system).checks
