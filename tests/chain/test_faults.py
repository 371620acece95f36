"""Each fault that people report in this chain, planted in a real build, is caught by the check that names it.

A fault is planted where it would arise: in the code of a stage's process before the stage runs, in
the files it wrote before they are committed, or on the disk afterwards. The stages before it are
taken from a finished build; the build must then stop for the named reason, and no check of an earlier
stage may complain.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece_base

from packager.artifacts.kinds import Dataset
from packager.artifacts.run_folder import RunFolder, open_run
from packager.artifacts.stage import Stage
from packager.clinic.served import likely_beginnings, prove_served
from packager.errors import PackagerError, ProofFailed
from packager.llamacpp.converter import run_converter
from packager.llamacpp.model import GgufModel
from packager.package.verify import verify
from packager.pipeline import build as building
from packager.pipeline.line import STAGES, line
from packager.prompt.frozen import frozen_template
from packager.prompt.ollama.modelfile import with_from, with_parts
from packager.prompt.template import TEMPLATE_FILE, ChatTemplate
from packager.proof.divergence import log_softmax
from packager.recipe import loading
from packager.recipe.recipe import Recipe

PREDICTIONS = {"quantize.kl", "quantize.top", "quantize.perplexity"}
"""One measurement, three figures: how far a file predicts from the F16 file."""
Plant = Callable[..., None]


class Spoiled:
    """A stage whose process is tampered with before it runs, or whose files are before they are committed."""

    def __init__(self, function: Callable[..., Any], before: Plant | None, after: Plant | None) -> None:
        self.function, self.before, self.after = function, before, after
        self.__name__, self.__module__ = function.__name__, function.__module__

    def __call__(self, *args: Any) -> Any:
        if self.before:
            self.before()
        made = self.function(*args)
        if self.after:
            self.after(args[-1])
        return made


class Again:
    """A stage that writes what it wrote in the finished build: without a fault in its process, it would."""

    def __init__(self, name: str, returns: Any, folder: Path) -> None:
        self.__name__, self.returns, self.folder = name, returns, folder

    def __call__(self, *args: Any) -> Any:
        out: Path = args[-1]
        shutil.copytree(self.folder, out, symlinks=True, dirs_exist_ok=True)
        (out / "stage.json").unlink()
        record = json.loads((self.folder / "stage.json").read_text("utf-8"))
        return self.returns.model_validate(record["artifact"] | {"folder": out})


@dataclass(frozen=True)
class Fault:
    stage: str
    before: Plant | None = None
    after: Plant | None = None
    """Called with the folder that the stage wrote."""


@dataclass(frozen=True)
class FaultyRun(RunFolder):
    faults: Sequence[Fault] = ()

    def make(self, stage: Stage[Any], recipe: Recipe, inputs: Sequence[Any]) -> Any:
        for fault in self.faults:
            if fault.stage == stage.name:
                kept = kept_aside(self.path, stage.name)
                again = Again(stage.name, stage.returns, kept) if kept.is_dir() and not fault.before else stage.door
                stage = replace(stage, door=Spoiled(again, fault.before, fault.after))
        return super().make(stage, recipe, inputs)


def kept_aside(run_folder: Path, stage: str) -> Path:
    return run_folder.with_name(f"{stage}-as-built")


def build_with(recipe_: Path, folder: Path, *faults: Fault, first: str | None = None, sets: Sequence[str] = ()) -> None:
    """Build again from the first faulty stage on, with the faults planted."""
    run_folder = folder / "tiny"
    if faults and first is None and not sets and run_folder.is_dir():
        (run_folder / faults[0].stage).rename(kept_aside(run_folder, faults[0].stage))
    for stage in STAGES[STAGES.index(first or faults[0].stage) :]:
        shutil.rmtree(run_folder / stage, ignore_errors=True)
        (run_folder / f"{stage}.stage.json").unlink(missing_ok=True)
    with open_run(run_folder) as run:
        faulty = FaultyRun(**{f.name: getattr(run, f.name) for f in fields(RunFolder)}, faults=faults)
        for artifact in line(loading.load(str(recipe_), sets), faulty):
            building.stop_if_failed(artifact)


def named(error: PackagerError) -> set[str]:
    """The checks that an error names."""
    return set(re.findall(r"(?:^|✗ )([a-z]+\.[a-z_0-9]+):", error.message, re.MULTILINE))


def certain(found: set[str]) -> set[str]:
    """Without the checks of how a damaged file predicts and what it answers: which of those fail beside the
    check that names the fault is chance, and another CPU's last bits may decide it."""
    return {check for check in found if check not in PREDICTIONS and not check.startswith("smoke.")}


def caught(*args: Any, **options: Any) -> set[str]:
    with pytest.raises(ProofFailed) as failure:
        build_with(*args, **options)
    assert failure.value.exit_code == 3
    folder: Path = args[1]
    assert not (folder / "tiny" / "package").exists()
    return named(failure.value)


# ------------------------------------------------------------------ what is planted


def patch(path: str, make: Callable[[Any], Any]) -> None:
    """Replace `module:name` (or `module:Class.name`) in this process by what `make` makes of it, also where it was
    imported already."""
    module, _, name = path.partition(":")
    owner, _, method = name.partition(".")
    if method:
        kind = getattr(importlib.import_module(module), owner)
        setattr(kind, method, make(getattr(kind, method)))
        return
    real = getattr(importlib.import_module(module), name)
    made = make(real)
    for loaded in [m for n, m in sys.modules.items() if n.partition(".")[0] == "packager"]:
        for bound in [n for n, value in vars(loaded).items() if value is real]:
            setattr(loaded, bound, made)


def lose_newlines() -> None:
    patch(
        "packager.prompt.ollama.go_template:go_template",
        lambda real: lambda *a, **k: real(*a, **k).replace("\n", "", 1),
    )


def write_otherwise() -> None:
    """The Modelfile is not written as it was proven."""
    patch(
        "packager.prompt.ollama.modelfile:write_modelfile",
        lambda real: lambda commands: real(commands).replace("<|im_end|>\n", "<|im_end|>", 1),
    )


def lose_stops() -> None:
    patch("packager.prompt.ollama.go_template:stops", lambda real: lambda *a: ("<|im_start|>",))


def leave_bos_in() -> None:
    patch("packager.prompt.ollama.composed:compose", lambda real: lambda *a, add_bos: real(*a, add_bos=False))


def mask_end_of_turn() -> None:
    def masked(real: Callable[..., Any]) -> Callable[..., Any]:
        def encode(*args: Any) -> Any:
            row = real(*args)
            return replace(row, trained=(*row.trained[:-1], False))

        return encode

    patch("packager.prompt.masking:encode", masked)


def copy_a_heldout_row() -> None:
    def leaking(real: Callable[..., str]) -> Callable[..., str]:
        def write(path: Path, conversations: Sequence[Any]) -> str:
            digest = real(path, conversations)
            if path.name == "heldout.jsonl":
                with (path.parent / "train.jsonl").open("a", encoding="utf-8") as file:
                    file.write(path.read_text(encoding="utf-8").splitlines()[0] + "\n")
            return digest

        return write

    patch("packager.data.conversations:write_conversations", leaking)


def rewrite_adapter(folder: Path, change: Callable[[str, Any], tuple[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    save_file(dict(change(n, t) for n, t in load_file(path).items()), path, metadata={"format": "pt"})


def rename_keys(folder: Path) -> None:
    rewrite_adapter(folder, lambda name, tensor: (name.replace("self_attn", "attention"), tensor))


def of_another_base(folder: Path) -> None:
    """Equal shapes and norms, made for other weights."""
    rewrite_adapter(folder, lambda name, t: (name, t.roll(1, 0).contiguous() if "lora_B" in name else t))


def overflow(folder: Path) -> None:
    rewrite_adapter(folder, lambda name, t: (name, t * 1e6))


def merge_nothing() -> None:
    patch(
        "packager.checkpoint.merge:write_merged",
        lambda real: lambda merge, out: real(replace(merge, pairs={}), out),
    )


def scale_pairs(factor: float) -> None:
    """The merge, and what checks it, read a scale of their own out of adapter_config.json."""

    def scaled(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *a: {name: replace(pair, scale=factor * pair.scale) for name, pair in real(*a).items()}

    patch("packager.checkpoint.lora:read_pairs", scaled)


def add_by_another_scale(factor: float) -> None:
    """The merge alone is wrong, by a little."""
    patch(
        "packager.checkpoint.lora:Pair.merged",
        lambda real: lambda self, *a: real(replace(self, scale=factor * self.scale), *a),
    )


def lose_pairs(folder: Path) -> None:
    """The adapter of one layer is not in the file that training wrote."""
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    kept = {name: t for name, t in load_file(path).items() if "layers.1.self_attn.q_proj" not in name}
    save_file(kept, path, metadata={"format": "pt"})


def train_with_a_head_of_its_own(folder: Path) -> None:
    """The base's file holds a head that is not its embedding, and config.json says it is tied: as after the merge
    of a head that was trained whole. transformers trains with it, and the merge leaves it out."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    table = tensors["model.embed_tokens.weight"].float()
    torch_random = np.random.default_rng(0).standard_normal(table.shape, np.float32)
    head = table + 3 * table.std() * table.new_tensor(torch_random)
    save_file(tensors | {"lm_head.weight": head.to(tensors["model.embed_tokens.weight"].dtype)}, path, {"format": "pt"})


def lose_the_head() -> None:
    def untied(real: Callable[..., None]) -> Callable[..., None]:
        def carry(base: Path, data: Path, settings: Any, out: Path) -> None:
            real(base, data, {**settings, "tie_word_embeddings": False}, out)

        return carry

    patch("packager.checkpoint.merge:carry", untied)


def drop_a_row(folder: Path) -> None:
    """The last row of the embedding, in the weights and in config.json; the tokenizer keeps its token."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:-1].contiguous()
    save_file(tensors, path, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] - 1}))


def ask_for_bos(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"add_bos_token": True}))


def another_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|im_end|>\\n", "<|im_end|>"))


def flip_tensor_bytes() -> None:
    """Damage inside a tensor of the file, before it is committed: nothing in its header shows it."""

    def damaged(real: Callable[..., None]) -> Callable[..., None]:
        def quantize_files(source: Path, files: dict[str, Path], *args: Any, **options: Any) -> None:
            real(source, files, *args, **options)
            for out in files.values():
                with out.open("r+b") as file:
                    middle = out.stat().st_size // 2
                    file.seek(middle)
                    raw = file.read(20_000)
                    file.seek(middle)
                    file.write(bytes(b ^ 0x55 for b in raw))

        return quantize_files

    patch("packager.llamacpp.quantizer:quantize_files", damaged)


def write_another_type() -> None:
    patch(
        "packager.llamacpp.quantizer:quantize_files",
        lambda real: (
            lambda source, files, *a, **k: real(
                source, {"Q4_0" if name == "Q4_K_M" else name: out for name, out in files.items()}, *a, **k
            )
        ),
    )


def answer_late(kind: str) -> None:
    """The file's first word comes after 99 s."""

    def late(real: Callable[..., Any]) -> Callable[..., Any]:
        def judge(file: Any, answers: Sequence[Any], *args: Any) -> Any:
            if file.type == kind:
                answers = [a.model_copy(update={"seconds_to_first_token": 99.0}) for a in answers]
            return real(file, answers, *args)

        return judge

    patch("packager.proof.smoke:judge", late)


def loop_in(kind: str) -> None:
    """The file of this type repeats itself; F16 does not."""
    looping = "a saúde da família na unidade e a equipe " * 12
    patch(
        "packager.proof.answer_faults:faults_of",
        lambda real: lambda a, *rest: real(a.model_copy(update={"answer": looping}) if kind in a.file else a, *rest),
    )


# ------------------------------------------------------------------ the faults


def test_a_slow_first_word_of_one_file_is_waived_and_makes_the_other_the_default(
    tiny_recipe: Path, copied: Path
) -> None:
    build_with(tiny_recipe, copied, Fault("proof", functools.partial(answer_late, "Q8_0")))
    proof = json.loads((copied / "tiny" / "proof" / "proof.json").read_text(encoding="utf-8"))
    late = [c for c in proof["checks"] if not c["passed"]]
    assert [(c["id"], c["subject"], c["measured"]) for c in late] == [("smoke.first_token", "Q8_0", 99.0)]
    assert late[0]["waived"] == "Q8_0 is not for this device; the default, Q4_K_M, is."
    package = copied / "tiny" / "package"
    manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
    assert [f["type"] for f in manifest["files"] if f["default"]] == ["Q4_K_M"]
    assert manifest["proof"]["waived"] == ["smoke.first_token of Q8_0"]
    assert verify(package).waived == ("smoke.first_token of Q8_0",)
    assert "failed and is waived: smoke.first_token of Q8_0" in (package / "README.md").read_text(encoding="utf-8")


def test_a_build_without_a_fault_passes(tiny_recipe: Path, copied: Path) -> None:
    build_with(tiny_recipe, copied, first="f16")
    assert (copied / "tiny" / "package").is_dir()


def test_an_evaluation_row_in_training(tiny_recipe: Path, copied: Path) -> None:
    assert caught(tiny_recipe, copied, Fault("data", copy_a_heldout_row)) == {"data.no_leak"}


def test_a_masked_end_of_turn(tiny_recipe: Path, copied: Path) -> None:
    assert caught(tiny_recipe, copied, Fault("data", mask_end_of_turn)) == {"data.end_of_turn"}


def test_adapter_keys_that_fit_nothing(tiny_recipe: Path, copied: Path) -> None:
    assert certain(caught(tiny_recipe, copied, Fault("adapter", after=rename_keys))) == {"merge.pairs"}


def test_an_adapter_of_another_base(tiny_recipe: Path, copied: Path) -> None:
    found = certain(caught(tiny_recipe, copied, Fault("adapter", after=of_another_base)))
    assert found == {"merge.heldout_loss", "merge.tuned_loss"}


def test_a_merge_that_does_nothing(tiny_recipe: Path, copied: Path) -> None:
    found = caught(tiny_recipe, copied, Fault("merged", merge_nothing))
    assert certain(found) == {"merge.pairs", "merge.delta", "merge.logits"}


@pytest.mark.parametrize("factor", [0.5, 0.99, 2.0])
def test_a_scale_that_merge_and_reference_share(tiny_recipe: Path, copied: Path, factor: float) -> None:
    """All that reads the adapter's files agrees with itself; peft's own modules had another scale."""
    found = certain(caught(tiny_recipe, copied, Fault("merged", functools.partial(scale_pairs, factor))))
    assert "merge.delta" in found
    assert found <= {"merge.delta", "merge.tuned_loss", "merge.heldout_loss"}


def test_a_scale_that_is_one_percent_off(tiny_recipe: Path, copied: Path) -> None:
    found = caught(tiny_recipe, copied, Fault("merged", functools.partial(add_by_another_scale, 1.01)))
    assert "merge.delta" in found
    assert certain(found) <= {"merge.delta", "merge.logits"}


def test_a_pair_that_was_trained_and_is_not_in_the_file(tiny_recipe: Path, copied: Path) -> None:
    found = certain(caught(tiny_recipe, copied, Fault("adapter", after=lose_pairs)))
    assert "merge.pairs" in found
    assert found <= {"merge.pairs", "merge.tuned_loss"}


@pytest.mark.slow
def test_a_head_of_its_own_that_is_said_to_be_tied(tiny_recipe: Path, copied: Path) -> None:
    found = certain(caught(tiny_recipe, copied, Fault("base", after=train_with_a_head_of_its_own)))
    assert {"merge.tied_head", "merge.base_loss"} <= found


def test_overflow_in_fp16(tiny_recipe: Path, copied: Path) -> None:
    assert certain(caught(tiny_recipe, copied, Fault("adapter", after=overflow))) == {"merge.finite"}


@pytest.mark.slow
def test_a_lost_tied_head(tiny_recipe: Path, copied: Path) -> None:
    assert certain(caught(tiny_recipe, copied, Fault("merged", lose_the_head))) == {"merge.logits"}


def test_a_dropped_row_of_the_vocabulary(tiny_recipe: Path, copied: Path) -> None:
    assert caught(tiny_recipe, copied, Fault("merged", after=drop_a_row)) == {"convert.vocabulary"}


def test_another_chat_template_in_the_gguf(tiny_recipe: Path, copied: Path) -> None:
    """The merged checkpoint's template loses a newline: what is served would not be what was trained."""
    assert caught(tiny_recipe, copied, Fault("merged", after=another_template)) == {"convert.tokenizer"}


def test_a_bos_that_nobody_asked_for_when_the_prompts_were_proven(tiny_recipe: Path, copied: Path) -> None:
    assert caught(tiny_recipe, copied, Fault("merged", after=ask_for_bos)) == {"convert.tokenizer"}


def test_a_newline_lost_in_ollama_s_template(tiny_recipe: Path, copied: Path) -> None:
    assert caught(tiny_recipe, copied, Fault("prompt", lose_newlines)) == {"modelfile.prompt_parity"}
    assert not (copied / "tiny" / "adapter").exists()  # it is found before the training


def test_a_newline_lost_in_the_modelfile(tiny_recipe: Path, copied: Path) -> None:
    assert caught(tiny_recipe, copied, Fault("modelfile", write_otherwise)) == {"modelfile.parses"}


def test_a_missing_stop(tiny_recipe: Path, copied: Path) -> None:
    assert caught(tiny_recipe, copied, Fault("prompt", lose_stops)) == {"modelfile.stops"}


def test_a_doubled_bos(tiny_recipe: Path, copied: Path, tmp_path: Path) -> None:
    template = tmp_path / "bos.jinja"
    template.write_text("{{ bos_token }}" + (copied / "tiny" / "data" / "chat_template.jinja").read_text())
    faults = (Fault("base", after=ask_for_bos), Fault("prompt", leave_bos_in))
    found = caught(tiny_recipe, copied, *faults, first="base", sets=(f"data.template={template}",))
    assert found == {"modelfile.one_bos", "modelfile.prompt_parity"}


def test_a_loop_that_only_the_quantized_file_makes(tiny_recipe: Path, copied: Path) -> None:
    with pytest.raises(ProofFailed) as failure:
        build_with(tiny_recipe, copied, Fault("proof", functools.partial(loop_in, "Q8_0")))
    assert named(failure.value) == {"smoke.no_loops"}
    assert "Q8_0: 2 of 2 answers repeat themselves" in failure.value.message
    assert "F16 does not at any of these 2: quantization did it." in failure.value.message


def test_flipped_bytes_in_a_tensor_before_the_commit(tiny_recipe: Path, copied: Path) -> None:
    found = caught(tiny_recipe, copied, Fault("gguf", flip_tensor_bytes))
    assert "quantize.kl" in found
    assert not certain(found)


def test_the_wrong_quantization(tiny_recipe: Path, copied: Path) -> None:
    assert certain(caught(tiny_recipe, copied, Fault("gguf", write_another_type))) == {"quantize.type"}


@pytest.mark.parametrize(
    ("stage", "name", "next_stage"),
    [
        ("gguf", "model-Q8_0.gguf", "proof"),
        ("merged", "model.safetensors", "f16"),
        ("data", "train.jsonl", "adapter"),
        ("modelfile", "Modelfile", "package"),
    ],
)
def test_one_altered_byte_after_the_commit(
    tiny_recipe: Path, copied: Path, stage: str, name: str, next_stage: str
) -> None:
    """Flipped bytes on the disk, or a Modelfile edited by hand: the same size, another content."""
    path = copied / "tiny" / stage / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    assert caught(tiny_recipe, copied, first=next_stage) == {f"{stage}.bytes"}


@pytest.fixture(scope="session")
def other_f16(taught_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The F16 file of another model of the same shape: the base as it was before training."""
    folder = tmp_path_factory.mktemp("other")
    path, base = folder / "other-F16.gguf", folder / "base"
    shutil.copytree(taught_base, base)
    (base / TEMPLATE_FILE).write_text(frozen_template(taught_base).template.source, encoding="utf-8")
    overrides = path.with_suffix(".json")
    overrides.write_text("{}")
    run_converter(base, path, overrides)
    return path


def quantize_another(other: Path) -> None:
    patch(
        "packager.llamacpp.quantizer:quantize_files",
        lambda real: lambda source, *a, **k: real(other, *a, **k),
    )


def test_the_gguf_of_another_recipe(tiny_recipe: Path, copied: Path, other_f16: Path) -> None:
    found = caught(tiny_recipe, copied, Fault("gguf", functools.partial(quantize_another, other_f16)))
    assert "quantize.perplexity" in found
    assert not certain(found)


def test_what_f16_says_too_is_the_training_s_fault(tiny_recipe: Path, copied: Path) -> None:
    """Words that this model was never taught: no file has them, and the F16 file has not either."""
    nobody_says = "smoke=[{'ask':'vacina?','expect_any':['xyzzy']}]"
    with pytest.raises(ProofFailed) as failure:
        build_with(tiny_recipe, copied, first="proof", sets=(nobody_says,))
    assert "smoke.expected_words" in named(failure.value)
    said = [line for line in failure.value.message.splitlines() if "smoke.expected_words" in line]
    assert len(said) == 2
    assert all("F16 does so too at 1 of these 1: that is the training (or the base)" in line for line in said)
    proof = json.loads((copied / "tiny" / "proof" / "proof.json").read_text(encoding="utf-8"))
    assert [a["ask"] for a in proof["answers_of_f16"]] == ["vacina?"]


def test_a_modelfile_with_the_first_part_alone(copied: Path) -> None:
    """Ollama's `create` fails, or its `run`: one FROM for each part is needed."""
    package = copied / "tiny" / "package"
    modelfile, manifest = package / "Modelfile", json.loads((package / "manifest.json").read_text("utf-8"))
    whole = manifest["files"][0]["name"]
    parts = [whole.replace(".gguf", f"-0000{n}-of-00002.gguf") for n in (1, 2)]
    for part in parts:
        (package / part).write_bytes(b"GGUF")
    own = modelfile.read_text(encoding="utf-8")
    for text, wrong in ((with_parts(own, parts), False), (with_from(own, parts[0]), True)):
        modelfile.write_text(text, encoding="utf-8")
        with pytest.raises(ProofFailed) as failure:
            verify(package)
        said = f"{modelfile.name}: names 1 of the 2 parts of its weights, and would not run"
        sums = failure.value.message
        assert (said in sums) is wrong


def test_a_program_that_serves_another_prompt(copied: Path) -> None:
    """What ships renders and splits as training does, and holds for likely what the library does, or no bundle."""
    folder = copied / "tiny"
    record = json.loads((folder / "data" / "stage.json").read_text(encoding="utf-8"))
    data = Dataset.model_validate(record["artifact"] | {"folder": folder / "data"})
    messages = [{"role": "user", "content": "O que é vacina?"}]
    path = folder / "f16" / "model-F16.gguf"
    (found,) = likely_beginnings(data, path, [messages])
    likely = [{"id": token, "logprob": value} for token, value in found.items()]
    questions = [{"request": {"messages": messages}, "likely": likely}]
    with GgufModel.open(path, context=256) as model:
        assert "1 answers it is 0.000 nats from" in prove_served(InProcess(model), data, questions)
        for wrong, says in (
            (InProcess(model, lose="\n"), r"bundle\.prompts: .* serves another prompt than training's in \d+ of"),
            (InProcess(model, add=[1]), r"bundle\.prompts: .* it reads"),
            (InProcess(model, off=3.0), r"bundle\.predictions: .* is 3\.00 nats"),
        ):
            with pytest.raises(ProofFailed, match=says):
                prove_served(wrong, data, questions)


class InProcess:
    """What llama-server does, by llama.cpp's library; `lose`, `add` or `off` is what is wrong with it."""

    def __init__(self, model: GgufModel, *, lose: str = "", add: Sequence[int] = (), off: float = 0.0) -> None:
        self.model, self.lose, self.add, self.off = model, lose, add, off

    def rendered(self, messages: Sequence[Any]) -> str:
        template = ChatTemplate(self.model.chat_template, self.model.bos_token, self.model.eos_token)
        text = template.render(messages, add_generation_prompt=True)
        return text.replace(self.lose, "", 1) if self.lose else text

    def tokens(self, text: str) -> list[int]:
        return [*self.add, *self.model.tokenize(text)]

    def post(self, path: str, body: Any) -> Any:
        rows = [rows.copy() for _, rows in self.model.logits(body["prompt"])]
        log_p = log_softmax(rows[-1])[-1] - self.off
        listed = [{"id": int(i), "logprob": float(log_p[i])} for i in log_p.argsort()[-body["n_probs"] :]]
        return {"completion_probabilities": [{"top_logprobs": listed}]}


def test_a_file_of_another_size_is_made_anew(tiny_recipe: Path, copied: Path) -> None:
    """Another model's file under this one's name, put there after the build."""
    gguf = copied / "tiny" / "gguf"
    (gguf / "model-Q8_0.gguf").write_bytes((gguf / "model-Q4_K_M.gguf").read_bytes())
    with open_run(copied / "tiny") as run:
        for artifact in line(loading.load(str(tiny_recipe)), run):
            building.stop_if_failed(artifact)
    assert (gguf / "model-Q8_0.gguf").read_bytes() != (gguf / "model-Q4_K_M.gguf").read_bytes()


SENTENCEPIECE = """\
name: tiny
base: {{model: '{base}', licence: apache-2.0}}
data: {{source: '{data}', fields: {{topic: topic}}, split: {{fraction: 0.15}}}}
train: {{method: none}}
quantize: {{types: [Q8_0]}}
serve: {{context: 256, max_answer_tokens: 8}}
"""


def lose_tokenizer_model(folder: Path) -> None:
    (folder / "tokenizer.model").unlink()


@pytest.mark.slow
def test_a_removed_tokenizer_model(taught_data: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    sentencepiece_base.make(base)
    path = tmp_path / "tiny.yaml"
    path.write_text(SENTENCEPIECE.format(base=base, data=taught_data), encoding="utf-8")
    build = tmp_path / "build"
    assert caught(path, build, Fault("merged", after=lose_tokenizer_model), first="base") == {"convert.tokenizer"}


def test_a_base_that_was_not_unpacked_as_its_file_says(copied: Path) -> None:
    """As where transformers puts the rows of a matrix into another order than the file's."""
    from safetensors.numpy import load_file, save_file

    from packager.checkpoint.unpack import prove_unpacked

    gguf, folder = copied / "tiny" / "f16" / "model-F16.gguf", copied / "tiny" / "merged"
    prove_unpacked(gguf, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"] = np.roll(tensors["model.embed_tokens.weight"], 1, axis=0)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ProofFailed, match=r"base\.logits"):
        prove_unpacked(gguf, folder)
