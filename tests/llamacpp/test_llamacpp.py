"""llama.cpp's source is fetched and read right, GGUF files are read, quantized and run right."""

from __future__ import annotations

import io
import random
import re
import resource
import shutil
import sys
import tarfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from packager.artifacts.files import sha256_of
from packager.artifacts.kinds import Checkpoint, Ggufs, Merged
from packager.errors import InputError, MissingResource, ProofFailed, StageCrash
from packager.evaluation.answers import likelihood
from packager.llamacpp import converter, gguf_file
from packager.llamacpp import vendored as llamacpp_vendored
from packager.llamacpp import vendored as source
from packager.llamacpp.converter import (
    convert_command,
    known_architectures,
    pretokenizer_known,
    tokenizer_problem,
)
from packager.llamacpp.gguf_file import quantization_types
from packager.llamacpp.model import LOGIT_ROWS, GgufModel
from packager.llamacpp.quantizer import quantize_files
from packager.llamacpp.vendored import fetch_source
from packager.prompt.template import load_tokenizer, token_ids
from packager.recipe.loading import ROOT
from packager.recipe.sections import Serve

TEXTS = (
    "a equipe de saúde cuida da família",
    "<|im_start|>user\no vínculo 😀 e a visita<|im_end|>\n<|im_start|>assistant\n",
    "  dois  espaços ",
    "ção\n\n\tfim",
)
GREEDY = Serve(temperature=0)
WARM = Serve(temperature=1.0, top_k=0, top_p=1.0)


def make_vendor(folder: Path, *, package: str = "toy_llama", sha256: str = "") -> Path:
    """A vendor folder with a lock and a small sdist of the same form as the real one."""
    root = f"{package}-1.0"
    contents = {
        f"{root}/vendor/llama.cpp/convert_hf_to_gguf.py": "print()",
        f"{root}/vendor/llama.cpp/conversion/base.py": "pass",
        f"{root}/vendor/llama.cpp/docs/large.csv": "1,2",
        f"{root}/.git/modules/vendor/llama.cpp/HEAD": "deadbeef",
        f"{root}/setup.py": "pass",
    }
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / f"{root}.tar.gz", "w:gz") as archive:
        for name, text in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    pinned = sha256 or sha256_of(folder / f"{root}.tar.gz")
    (folder / "llama.cpp.lock").write_text(
        f'package: {package}\nversion: "1.0"\nsha256: "{pinned}"\ncommit: "abc"\n', encoding="utf-8"
    )
    return folder


class TestFetch:
    def test_unpacks_what_is_needed_and_nothing_else(self, tmp_path: Path) -> None:
        vendor = make_vendor(tmp_path / "vendor")
        folder = fetch_source(vendor)
        files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        assert files == [".complete", "conversion/base.py", "convert_hf_to_gguf.py"]
        assert sorted(p.name for p in vendor.iterdir()) == ["llama.cpp", "llama.cpp.lock", "toy_llama-1.0.tar.gz"]

    def test_a_second_call_does_nothing(self, tmp_path: Path) -> None:
        vendor = make_vendor(tmp_path / "vendor")
        folder = fetch_source(vendor)
        (vendor / "toy_llama-1.0.tar.gz").unlink()
        before = folder.stat().st_mtime_ns
        assert fetch_source(vendor) == folder
        assert folder.stat().st_mtime_ns == before

    def test_a_half_unpacked_tree_is_replaced(self, tmp_path: Path) -> None:
        vendor = make_vendor(tmp_path / "vendor")
        (vendor / "llama.cpp").mkdir()
        (vendor / "llama.cpp" / "stale.py").write_text("")
        folder = fetch_source(vendor)
        assert not (folder / "stale.py").exists()
        assert (folder / "convert_hf_to_gguf.py").is_file()

    def test_another_checksum_is_refused_and_leaves_nothing(self, tmp_path: Path) -> None:
        vendor = make_vendor(tmp_path / "vendor", sha256="0" * 64)
        with pytest.raises(InputError, match=r"but vendor/llama\.cpp\.lock pins 0000"):
            fetch_source(vendor)
        assert not (vendor / "llama.cpp").exists()

    def test_an_sdist_that_climbs_out_is_refused(self, tmp_path: Path) -> None:
        vendor = make_vendor(tmp_path / "vendor")
        sdist = vendor / "toy_llama-1.0.tar.gz"
        with tarfile.open(sdist, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("toy_llama-1.0/vendor/llama.cpp/../../../escaped"))
        lock = (vendor / "llama.cpp.lock").read_text()
        pinned = sha256_of(sdist)
        (vendor / "llama.cpp.lock").write_text(lock.replace(lock.split('"')[3], pinned))
        with pytest.raises(InputError, match="cannot be unpacked"):
            fetch_source(vendor)
        assert not list(tmp_path.rglob("escaped"))

    def test_without_a_network_it_says_what_to_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        vendor = make_vendor(tmp_path / "vendor", package="packager_no_such_package")
        next(vendor.glob("*.tar.gz")).unlink()
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(MissingResource, match="Could not download packager_no_such_package") as caught:
            fetch_source(vendor)
        assert "make setup" in caught.value.fix

    def test_not_fetched_yet(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        vendor = make_vendor(tmp_path / "vendor")
        monkeypatch.setattr(source, "VENDOR", vendor)
        with pytest.raises(MissingResource) as caught:
            llamacpp_vendored.converter()
        assert caught.value.fix == "make setup"

    def test_the_runtime_is_of_the_pinned_version(self) -> None:
        pinned = source.lock()
        assert metadata.version(pinned.package) == pinned.version
        assert f"llama-cpp-python=={pinned.version}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert len(llamacpp_vendored.commit()) == 40


class TestConverter:
    def test_known_architectures(self, vendored: Path) -> None:
        known = known_architectures()
        assert {"LlamaForCausalLM", "Qwen2ForCausalLM", "Phi3ForCausalLM"} <= known
        assert "NoSuchForCausalLM" not in known
        assert len(known) > 200

    def test_command(self) -> None:
        command = convert_command(Path("c.py"), Path("merged"), Path("m.gguf"), Path("o.json"))
        assert command == [
            sys.executable, "c.py", "merged", "--outfile", "m.gguf", "--outtype", "f16", "--metadata", "o.json",
        ]  # fmt: skip

    def test_pretokenizer(self, vendored: Path, tmp_path: Path) -> None:
        """GPT-2's real vocabulary is recognized; split in another way it is not."""
        from tokenizers import Tokenizer, models, pre_tokenizers

        tokens, merges = read_arrays(vendored / "models" / "ggml-vocab-gpt-2.gguf")
        pairs = [(a, b) for a, b in (m.split(" ") for m in merges)]
        tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=pairs))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.enable_truncation(8)
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        assert pretokenizer_known(tmp_path / "tokenizer.json")
        assert tokenizer_problem(tmp_path) == ""
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), tokenizer.pre_tokenizer])
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        assert not pretokenizer_known(tmp_path / "tokenizer.json")
        assert "pre-tokenizer" in tokenizer_problem(tmp_path)

    def test_sentencepiece_needs_its_model(self, vendored: Path, spm_base: Checkpoint, tmp_path: Path) -> None:
        assert tokenizer_problem(spm_base.folder) == ""
        shutil.copy(spm_base.folder / "tokenizer.json", tmp_path)
        assert "tokenizer.model is missing" in tokenizer_problem(tmp_path)
        (tmp_path / "tokenizer.json").unlink()
        assert "neither" in tokenizer_problem(tmp_path)


def read_arrays(path: Path) -> tuple[list[str], list[str]]:
    """Tokens and merges of a GGUF vocabulary, read by hand: gguf's reader takes seconds for it."""
    data = path.read_bytes()

    def strings(key: str) -> list[str]:
        at = data.index(key.encode()) + len(key) + 8
        count, at = int.from_bytes(data[at : at + 8], "little"), at + 8
        found = []
        for _ in range(count):
            length = int.from_bytes(data[at : at + 8], "little")
            found.append(data[at + 8 : at + 8 + length].decode())
            at += 8 + length
        return found

    return strings("tokenizer.ggml.tokens"), strings("tokenizer.ggml.merges")


def path_of(ggufs: Ggufs) -> Path:
    return ggufs.folder / ggufs.files[0].name


class TestInspect:
    def test_agrees_with_the_reference_reader(self, spm_f16: Ggufs, spm_base: Checkpoint) -> None:
        from gguf import GGUFReader

        info, reader = gguf_file.inspect(path_of(spm_f16)), GGUFReader(path_of(spm_f16))
        assert info.n_tensors == len(reader.tensors)
        assert info.parameters == sum(int(t.n_elements) for t in reader.tensors) == spm_base.parameters
        fields = {n: f.contents() for n, f in reader.fields.items()}
        assert info.n_vocab == len(fields["tokenizer.ggml.tokens"]) == 352
        assert (info.bos_token_id, info.eos_token_id, info.add_bos) == (1, 4, False)
        assert info.chat_template == fields["tokenizer.chat_template"]
        assert info.metadata.items() <= fields.items()
        assert "tokenizer.ggml.tokens" not in info.metadata
        bits = 8 * sum(int(t.n_bytes) for t in reader.tensors) / info.parameters
        assert info.bits_per_weight == pytest.approx(bits)
        assert info.tensor_types == {"F16": 15, "F32": 5}

    def test_every_real_vocabulary_is_read(self, vendored: Path) -> None:
        sizes = {n: gguf_file.inspect(vendored / "models" / f"ggml-vocab-{n}.gguf").n_vocab for n in ("phi-3", "qwen2")}
        assert sizes == {"phi-3": 32064, "qwen2": 151936}

    def test_damaged_files_are_a_value_error(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        whole = path_of(spm_f16).read_bytes()
        dice = random.Random(0)
        bad = tmp_path / "bad.gguf"
        refused = 0
        for trial in range(150):
            data = bytearray(whole[: dice.randrange(len(whole))] if trial % 3 == 0 else whole)
            if trial % 3:
                for _ in range(4):
                    data[dice.randrange(min(len(data), 3000))] = dice.randrange(256)
            bad.write_bytes(data)
            try:
                gguf_file.inspect(bad)
            except ValueError:
                refused += 1
        assert refused > 50  # every truncation, and most of the mutations


class TestQuantizeFile:
    def test_types(self) -> None:
        known = quantization_types()
        assert {n: known[n] for n in ("F32", "F16", "Q4_0", "Q8_0", "Q4_K_M", "Q6_K", "IQ4_XS", "BF16")} == {
            "F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "Q4_K_M": 15, "Q6_K": 18, "IQ4_XS": 30, "BF16": 32,
        }  # fmt: skip

    def test_progress_ends_at_the_last_tensor(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        seen: list[tuple[int, int]] = []
        quantize_files(
            path_of(spm_f16),
            {"Q8_0": tmp_path / "q.gguf"},
            2,
            on_progress=lambda done, total: seen.append((done, total)),
        )
        assert seen == [(i, 20) for i in range(1, 21)]
        assert gguf_file.inspect(tmp_path / "q.gguf").tensor_types == {"Q8_0": 15, "F32": 5}

    def test_a_small_buffer_gives_the_same_file(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        for name, size in (("large", 64 << 20), ("small", 1 << 16)):
            quantize_files(path_of(spm_f16), {"Q4_K_M": tmp_path / name}, 2, max_buffer_bytes=size)
        assert (tmp_path / "large").read_bytes() == (tmp_path / "small").read_bytes()

    def test_unknown_type_names_the_nearest(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            quantize_files(path_of(spm_f16), {"Q4_KM": tmp_path / "q.gguf"}, 1)
        assert "Q4_K" in caught.value.fix

    def test_the_source_is_never_overwritten(self, spm_f16: Ggufs) -> None:
        path = path_of(spm_f16)
        with pytest.raises(InputError, match="there already"):
            quantize_files(path, {"Q8_0": path}, 1)
        assert sha256_of(path) == spm_f16.files[0].sha256

    def test_a_type_that_needs_an_importance_matrix(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="importance matrix"):
            quantize_files(path_of(spm_f16), {"IQ1_S": tmp_path / "q.gguf"}, 1)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("types", [("IQ1_S", "Q8_0"), ("Q8_0", "IQ1_S")])
    def test_one_of_two_that_fails_is_the_one_that_is_named(
        self, spm_f16: Ggufs, tmp_path: Path, types: tuple[str, str]
    ) -> None:
        with pytest.raises(InputError, match="IQ1_S needs an importance matrix"):
            quantize_files(path_of(spm_f16), {name: tmp_path / name for name in types}, 1)
        assert not list(tmp_path.iterdir())

    def test_side_by_side_gives_the_same_files(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        types = ("Q4_K_M", "Q8_0", "Q6_K")
        quantize_files(path_of(spm_f16), {name: tmp_path / f"{name}.beside" for name in types}, 2)
        for name in types:
            quantize_files(path_of(spm_f16), {name: tmp_path / name}, 2)
            assert (tmp_path / name).read_bytes() == (tmp_path / f"{name}.beside").read_bytes()

    def test_a_damaged_source_leaves_nothing(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(path_of(spm_f16).read_bytes()[:500_000])
        with pytest.raises(StageCrash, match=r"could not quantize cut\.gguf"):
            quantize_files(cut, {"Q8_0": tmp_path / "q.gguf"}, 1)
        assert [p.name for p in tmp_path.iterdir()] == ["cut.gguf"]

    def test_a_write_that_fails_leaves_nothing(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        """As on a full disk, the library's writes fail; here because files may not grow."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        try:
            with pytest.raises(StageCrash, match="could not quantize"):
                quantize_files(path_of(spm_f16), {"Q8_0": tmp_path / "q.gguf"}, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not list(tmp_path.iterdir())


class TestRunning:
    @pytest.fixture
    def model(self, spm_f16: Ggufs) -> Any:
        with GgufModel.open(path_of(spm_f16), context=256, threads=1) as model:
            yield model

    def test_tokens_are_those_of_the_tokenizer(self, model: GgufModel, spm_base: Checkpoint) -> None:
        tokenizer = load_tokenizer(spm_base.folder)
        for text in TEXTS:
            assert model.tokenize(text) == token_ids(tokenizer, text)
        plain = model.tokenize("<|im_end|>", special=False)
        assert 4 not in plain
        assert model.tokenize("<|im_end|>") == [4]

    def test_special_tokens(self, model: GgufModel) -> None:
        assert (model.bos_token, model.eos_token, model.adds_bos) == ("<s>", "<|im_end|>", False)
        assert 4 in model.eog_tokens
        assert "<|im_start|>" in model.chat_template
        assert model.n_vocab == 352

    def test_vocabulary_alone(self, vendored: Path) -> None:
        with GgufModel.open(vendored / "models" / "ggml-vocab-phi-3.gguf", vocab_only=True) as model:
            ids = model.tokenize("<|user|>\nOlá<|end|>\n<|assistant|>\n")
            assert model.adds_bos
            assert ids[0] == 1
            assert model.tokenize("Olá", add_bos=False)[0] != 1
            assert {32000, 32007} <= model.eog_tokens

    def test_likelihood_is_that_of_the_checkpoint(self, model: GgufModel, spm_merged: Merged) -> None:
        """The same loss as transformers computes from the safetensors: the conversion kept the model."""
        import torch
        from transformers import AutoModelForCausalLM

        ids = (model.tokenize(TEXTS[1]) * 8)[:150]
        trained = [i % 3 != 0 for i in range(len(ids))]
        reference = AutoModelForCausalLM.from_pretrained(spm_merged.folder, dtype=torch.float32)
        with torch.no_grad():
            logits = reference(torch.tensor([ids])).logits[0]
        losses = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none")
        wanted = float(losses[torch.tensor(trained[1:])].sum())
        measured = likelihood(model, ids, trained)
        assert measured["tokens"] == sum(trained[1:])
        assert measured["nll"] == pytest.approx(wanted, rel=1e-3)
        rows = np.concatenate([part.copy() for _, part in model.logits(ids)])
        assert np.abs(rows - logits.numpy()).max() < 0.02

    def test_logits_of_some_positions_are_those_of_all(self, model: GgufModel) -> None:
        """A prompt goes with the answer behind it in one batch; more than 64 wanted positions do not."""
        ids = [5 + i % 40 for i in range(200)]
        everything = np.concatenate([part.copy() for _, part in model.logits(ids)])
        for wanted in ([i >= 90 for i in range(200)], [i % 7 == 3 for i in range(200)], [False] * 200):
            some = [(at, part.copy()) for at, part in model.logits(ids, wanted)]
            places = [place for at, _ in some for place in at]
            assert places == [i for i, flag in enumerate(wanted) if flag]
            assert all(len(at) <= LOGIT_ROWS for at, _ in some)
            for at, part in some:
                assert np.abs(part - everything[at]).max() < 0.02

    def test_greedy_takes_the_likeliest(self, model: GgufModel) -> None:
        ids = model.tokenize(TEXTS[0])
        for token in list(model.generate(ids, GREEDY, seed=0, max_tokens=5, stop=frozenset())):
            rows = [part[-1].argmax() for _, part in model.logits(ids)]
            assert token == rows[-1]
            ids.append(token)

    def test_a_seed_repeats_and_another_differs(self, model: GgufModel) -> None:
        ids = model.tokenize(TEXTS[0])
        one, two, other = (list(model.generate(ids, WARM, seed=s, max_tokens=20)) for s in (7, 7, 8))
        assert one == two != other

    def test_the_penalty_sees_the_prompt(self, model: GgufModel) -> None:
        ids = model.tokenize(TEXTS[0])
        usual = next(iter(model.generate(ids, GREEDY, seed=0)))
        harsh = Serve(temperature=0, repeat_penalty=100.0, repeat_last_n=-1)
        assert next(iter(model.generate([usual, *ids], harsh, seed=0))) not in {usual, *ids}

    def test_stops(self, model: GgufModel) -> None:
        ids = model.tokenize(TEXTS[0])
        free = list(model.generate(ids, WARM, seed=1, max_tokens=30, stop=frozenset()))
        assert len(free) == 30
        stop = frozenset({free[10]})
        assert list(model.generate(ids, WARM, seed=1, max_tokens=30, stop=stop)) == free[: free.index(free[10]) + 1]
        endless = list(model.generate(ids, WARM, seed=1, stop=frozenset()))
        assert len(endless) == model.n_context - len(ids)

    def test_the_stream_spells_the_text(self, model: GgufModel) -> None:
        ids = model.tokenize(TEXTS[0])
        tokens, pieces = zip(*model.stream(ids, WARM, seed=3, max_tokens=60, stop=frozenset()), strict=True)
        shown = [t for t in tokens if t not in model.eog_tokens]
        assert "".join(pieces).rstrip("�") == model.text(shown).rstrip("�")

    def test_a_prompt_that_does_not_fit(self, model: GgufModel) -> None:
        with pytest.raises(InputError, match="The prompt has"):
            next(model.generate([5] * (model.n_context + 1), GREEDY, seed=0))
        with pytest.raises(InputError, match="do not fit"):
            next(model.logits([5] * (model.n_context + 1)))

    @pytest.mark.parametrize("context", [100, 128, 300])
    def test_a_prompt_longer_than_a_small_context_s_batch(self, spm_f16: Ggufs, context: int) -> None:
        """llama.cpp makes room for 256 tokens, takes batches of 100 and 128, and aborts on larger ones."""
        with GgufModel.open(path_of(spm_f16), context=context) as small:
            assert small.n_context == context
            assert len(list(small.generate([5] * (context - 1), GREEDY, seed=0, stop=frozenset()))) == 1
            with pytest.raises(InputError, match="The prompt has"):
                next(small.generate([5] * (context + 20), GREEDY, seed=0))

    def test_a_damaged_file_says_why(self, spm_f16: Ggufs, tmp_path: Path) -> None:
        (tmp_path / "cut.gguf").write_bytes(path_of(spm_f16).read_bytes()[:500_000])
        with pytest.raises(ProofFailed, match=r"cannot load cut\.gguf") as caught:
            GgufModel.open(tmp_path / "cut.gguf")
        assert "file" in caught.value.message

    def test_closing_twice_is_harmless(self, spm_f16: Ggufs) -> None:
        model = GgufModel.open(path_of(spm_f16), context=128)
        model.close()
        model.close()


def test_the_pretokenizer_table_is_read_whole(vendored: Path) -> None:
    text, hashes = converter._pretokenizers()
    written = (vendored / "conversion" / "base.py").read_text(encoding="utf-8")
    assert hashes == set(re.findall(r'chkhsh == "([0-9a-f]{64})"', written))
    assert text.startswith("\n \n\n")
    assert text.endswith("We'Ve a'lL")
