"""Every stage's evidence -> `proof.json`: a list of checks, each with what was measured.

The structural facts were measured by the stages that made the artifacts; here they are judged, and
every quantized file is asked the recipe's questions on this CPU, each in a process of its own. A
failed check does not raise: the proof is written whole, and the build stops before packaging. Where a quantized
file answers badly, the F16 file is asked too, so that training is not put down to quantization.
"""

from __future__ import annotations

from pathlib import Path

from packager.artifacts.checks import Check, Figure
from packager.artifacts.files import cache_folder, write_json
from packager.artifacts.kinds import Adapter, Answer, Dataset, GgufFile, Ggufs, Merged, Modelfile, Prompt, Proof
from packager.artifacts.knowledge import Assisted, Knowledge, Lessons
from packager.evaluation.assisted import assisted
from packager.knowledge.lessons import read_cases
from packager.process import progress
from packager.prompt.template import load_tokenizer, special_tokens
from packager.proof.before_quantization import asked_of_f16, blamed
from packager.proof.fit import waive
from packager.proof.knowledge import assisted_figures, knowledge_checks, knowledge_figures, mode_figure, mode_of
from packager.proof.limits import Limits, limits_of
from packager.proof.quantized import kv_checks, kv_figures, quantized_checks, quantized_figures
from packager.proof.smoke import SmokeTest, prompt_figures, smoke_test
from packager.proof.trained import training_checks, training_figures
from packager.recipe.clinic import Device
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Section, Serve, Smoke, Thresholds

KV_AS = "Q8_0"
"""Keys and values may cost what weights of this type may, whatever the recipe allows the weights' own type."""


class Prove(Section):
    """The parts of the recipe that the proof depends on."""

    questions: tuple[Smoke, ...]
    language: str
    serve: Serve
    device: Device
    thresholds: Thresholds
    mode: str | None = None
    """The most that the approved material's section allows; None without that section."""


def proving_of(recipe: Recipe) -> Prove:
    """The parts of the recipe that its proof depends on."""
    return Prove(
        questions=recipe.smoke,
        language=recipe.language,
        serve=recipe.serve,
        device=recipe.device,
        thresholds=recipe.thresholds,
        mode=recipe.knowledge.mode if recipe.knowledge else None,
    )


def prove(
    config: Prove,
    data: Dataset,
    prompt: Prompt,
    adapter: Adapter | None,
    merged: Merged,
    f16: Ggufs,
    ggufs: Ggufs,
    modelfile: Modelfile,
    knowledge: Knowledge | None,
    lessons: Lessons | None,
    out: Path,
) -> Proof:
    """Judge every artifact and write `proof.json` into `out`."""
    checks = [*data.checks, *(training_checks(adapter, config.thresholds) if adapter else ()), *merged.checks]
    checks += [*f16.checks, *prompt.checks]
    checks += _of_weights(config, merged.parameters, ggufs)
    checks += modelfile.checks
    checks += knowledge_checks(knowledge, config.thresholds) if knowledge else ()
    specials = special_tokens(load_tokenizer(data.folder))
    asked = _smoke_test(config, data.system)
    answers: list[Answer] = []
    for file in ggufs.files:
        replies, verdicts = smoke_test(ggufs.folder / file.name, file, specials, asked)
        answers += replies
        checks += verdicts
    unquantized = asked_of_f16(checks, ggufs.files, f16, specials, asked)
    checks = blamed(checks, answers, ggufs.files, unquantized)
    checks = waive(checks, ggufs.files, config.device)
    if not config.questions:
        progress.note("the recipe asks no questions (smoke), so no answer was judged")
    assisted_by = assisted_figures(_assisted(config, lessons, ggufs, data.system), config.thresholds)
    mode, because = mode_of(config.mode, assisted_by, config.thresholds)
    proof = Proof(
        folder=out,
        passed=not any(c.failed for c in checks),
        checks=tuple(checks),
        figures=(
            *_figures(config, data, adapter, merged, ggufs, knowledge),
            *prompt_figures(ggufs.files, answers),
            *assisted_by,
            *((mode_figure(mode, because),) if knowledge else ()),
        ),
        answers=tuple(answers),
        answers_of_f16=unquantized,
        mode=mode,
        mode_because=because,
    )
    write_json(out / "proof.json", proof.model_dump(mode="json", exclude={"folder", "content"}))
    return proof


def _smoke_test(config: Prove, system: str | None) -> SmokeTest:
    return SmokeTest(
        questions=config.questions,
        system=system,
        serve=config.serve,
        language=config.language,
        device=config.device,
        thresholds=config.thresholds,
    )


def _figures(
    config: Prove,
    data: Dataset,
    adapter: Adapter | None,
    merged: Merged,
    ggufs: Ggufs,
    knowledge: Knowledge | None,
) -> list[Figure]:
    """What is recorded beside the checks."""
    size = merged.parameters
    weights = [quantized_figures(file, _limits(file, size, config.thresholds)) for file in ggufs.files]
    kv = [kv_figures(file, config.serve.kv, _limits(file, size, Thresholds(), KV_AS)) for file in ggufs.files]
    return [
        *data.figures,
        *(training_figures(adapter) if adapter else ()),
        *(figure for figures in (*weights, *kv) for figure in figures),
        *merged.figures,
        *(knowledge_figures(knowledge) if knowledge else ()),
    ]


def _assisted(config: Prove, lessons: Lessons | None, ggufs: Ggufs, system: str | None) -> list[Assisted]:
    """What every file makes of the passages; nothing where the recipe leaves nothing to the model."""
    if lessons is None or not (cases := read_cases(lessons.folder)):
        return []
    programs = cache_folder("knowledge")
    return [assisted(ggufs.folder / f.name, f.type, cases, system, config.serve, programs) for f in ggufs.files]


def _of_weights(config: Prove, parameters: int, ggufs: Ggufs) -> list[Check]:
    """What quantization cost each file, and what the context's keys and values cost beside it."""
    checks: list[Check] = []
    for file in ggufs.files:
        checks += quantized_checks(file, _limits(file, parameters, config.thresholds))
        checks += kv_checks(file, config.serve.kv, _limits(file, parameters, Thresholds(), KV_AS))
    return checks


def _limits(file: GgufFile, parameters: int, own: Thresholds, kind: str = "") -> Limits:
    return limits_of(kind or file.type, parameters, own, file.divergence.spread if file.divergence else None)
