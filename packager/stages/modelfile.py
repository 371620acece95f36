"""The training prompt -> `Modelfile`: Ollama's TEMPLATE, SYSTEM, stops and sampling, proven equal.

The template is derived from the chat template, written, read back from disk, and rendered as Ollama
would; the F16 file's own tokenizer must turn that into the token ids of training. Fails before
writing on text that a Modelfile cannot hold (`InputError`) and on a stop string inside an answer;
A file that does not read back and unequal prompts are failed checks.
"""

from __future__ import annotations

from pathlib import Path

from packager.artifacts.files import write_atomically
from packager.artifacts.kinds import Dataset, Ggufs, Modelfile
from packager.artifacts.knowledge import Lessons
from packager.knowledge.lessons import LESSONS
from packager.process import progress
from packager.prompt.deriving import derive_roles
from packager.prompt.ollama.composed import compose
from packager.prompt.ollama.go_template import preferred
from packager.prompt.servable import must_fit
from packager.prompt.template import load_template, load_tokenizer, special_tokens
from packager.proof.modelfile import answers_without_stops, read_back, stop_check
from packager.proof.prompt_parity import limits, prompt_checks, served_conversations
from packager.recipe.sections import Serve

NAME = "Modelfile"


def modelfile(config: Serve, data: Dataset, converted: Ggufs, lessons: Lessons | None, out: Path) -> Modelfile:
    """Write `Modelfile` into `out` and prove it against the training prompt and the F16 file."""
    from packager.llamacpp.model import GgufModel

    template, tokenizer = load_template(data.folder), load_tokenizer(data.folder)
    specials = special_tokens(tokenizer)
    roles = derive_roles(template, specials)
    must_fit(data.folder, roles, data.system, config)
    with GgufModel.open(converted.folder / converted.files[0].name, vocab_only=True) as gguf:
        composed = compose(config, roles, specials, data.system, add_bos=gguf.adds_bos)
        answers = answers_without_stops(composed.stops, data.folder)
        write_atomically(out / NAME, composed.text)
        checks = [
            read_back(out / NAME, composed, config, data.system),
            stop_check(out / NAME, gguf, tokenizer, roles, answers),
        ]
        conversations = list(served_conversations(data, lessons.folder / LESSONS if lessons else None))
        checks += prompt_checks(conversations, template, tokenizer, gguf, composed.template, data.system, roles)
    for limit in limits(roles, tokenizer, preferred(composed.template, template.source)):
        progress.note(f"Ollama differs: {limit}")
    return Modelfile(
        folder=out,
        template=composed.template,
        stops=composed.stops,
        system=data.system,
        text=composed.text,
        checks=tuple(checks),
    )
