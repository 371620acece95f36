"""The best file that fits is chosen, from what was measured, and it is shown why."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from packager.__main__ import main
from packager.artifacts.checks import Check, Figure, tally, verdict
from packager.artifacts.evidence import Divergence
from packager.artifacts.kinds import GgufFile
from packager.errors import InputError
from packager.proof.fit import (
    Candidate,
    FileChoice,
    Machine,
    candidates_of,
    choose_file,
    default_first,
    of_device,
    of_package,
    waive,
)
from packager.recipe.clinic import Device
from packager.report.fit import fit_advice, fit_plot, fit_table

MEASURED = {  # type: (size in MB, KL, memory in GB, tokens/s)
    "Q4_K_M": (1000, 0.05, 1.4, 20.0),
    "Q8_0": (1700, 0.002, 2.1, 12.0),
    "Q4_0": (1010, 0.20, 1.4, 20.5),
    "Q2_K": (700, 0.9, 1.0, 25.0),
}


def file_of(kind: str) -> GgufFile:
    size, kl, _, _ = MEASURED[kind]
    found = Divergence(positions=9, kl_mean=kl, kl_median=kl, kl_99=kl, same_top=0.9, loss=2 + kl,
                       perplexity_ratio=1 + kl, perplexity_ratio_error=0.1)  # fmt: skip
    return GgufFile(name=f"model-{kind}.gguf", type=kind, size=size * 10**6, sha256="0" * 64, bits_per_weight=4.5,
                    tensor_types={}, divergence=found)  # fmt: skip


def checks_of(kind: str, device: Device = Device()) -> list[Check]:  # noqa: B008
    _, _, ram, speed = MEASURED[kind]
    least = device.min_tokens_per_second
    return [
        verdict(
            "smoke.speed",
            speed,
            least,
            "tokens/s",
            speed >= least,
            f"{kind}: answers at {speed:.0f} tokens/s.",
            subject=kind,
        ),
        verdict(
            "smoke.ram", ram, device.ram_gb, "GB", ram <= device.ram_gb, f"{kind}: needs {ram:.2f} GB.", subject=kind
        ),
    ]


def chosen(machine: Machine, *kinds: str) -> FileChoice:
    kinds = kinds or tuple(MEASURED)
    measured = candidates_of([file_of(k) for k in kinds], [c for k in kinds for c in checks_of(k)])
    return choose_file(measured, f"model-{kinds[0]}.gguf", machine)


def best(machine: Machine, *kinds: str) -> str:
    found = chosen(machine, *kinds).best
    return found.type if found else ""


class TestChoice:
    @pytest.mark.parametrize(
        ("ram", "speed", "wanted"),
        [(4, 5, "Q8_0"), (2, 5, "Q4_K_M"), (4, 15, "Q4_K_M"), (1.2, 5, "Q2_K"), (0.5, 5, ""), (4, 30, "")],
    )
    def test_the_least_divergent_that_fits(self, ram: float, speed: float, wanted: str) -> None:
        assert best(Machine(ram, speed)) == wanted

    def test_every_lack_is_named(self) -> None:
        q8 = next(f for f in chosen(Machine(2, 15)).candidates if f.type == "Q8_0")
        assert tuple(map(str, q8.lacks)) == ("needs 2.10 GB of memory, not 2", "makes 12.0 tokens/s, not 15")

    def test_speed_of_another_machine_is_estimated(self) -> None:
        found = {f.type: f.tokens_per_second for f in chosen(Machine(4, 5, bandwidth=10)).candidates}
        assert found["Q4_K_M"] == pytest.approx(0.85 * 10 / 1.0)
        assert found["Q8_0"] == pytest.approx(0.85 * 10 / 1.7)
        assert best(Machine(4, 8, bandwidth=10)) == "Q4_K_M"

    def test_dominated(self) -> None:
        found = {f.type: f.dominated_by for f in chosen(Machine(4, 5)).candidates}
        assert found == {"Q4_K_M": "", "Q8_0": "", "Q4_0": "Q4_K_M", "Q2_K": ""}

    def test_a_much_slower_file_dominates_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(MEASURED, "Q4_0", (1010, 0.20, 1.4, 40.0))
        assert not any(f.dominated_by for f in chosen(Machine(4, 5)).candidates)

    def test_of_files_as_good_the_one_with_fast_kernels(self) -> None:
        """Q5_0 has none on AVX2; a file that is better is taken all the same."""
        slow = Candidate("m-Q4_K_M.gguf", "Q4_K_M", 100, 5, 0.050, 0.9, 1.05, 2, 1, 20, slow_kernels=0.9)
        fast = Candidate("m-Q4_0.gguf", "Q4_0", 110, 5, 0.054, 0.9, 1.05, 2, 1, 20, slow_kernels=0.1)
        best = choose_file([slow, fast], slow.name, Machine(4, 5)).best
        assert best is not None
        assert best.type == "Q4_0"
        worse = Candidate("m-Q4_0.gguf", "Q4_0", 110, 5, 0.080, 0.9, 1.05, 2, 1, 20, slow_kernels=0.1)
        choice = choose_file([slow, worse], slow.name, Machine(4, 5))
        assert choice.best is not None
        assert choice.best.type == "Q4_K_M"
        assert "90% of its matrices have no fast kernel on AVX2" in fit_table(choice, 200)

    def test_the_speed_of_reading_and_slow_kernels_come_from_the_proof(self) -> None:
        file = file_of("Q4_K_M").model_copy(update={"tensor_types": {"F32": 50, "Q5_0": 3, "Q4_K": 1}})
        figure = Figure(id="smoke.prompt_speed", subject="Q4_K_M", measured=321.0, unit="tokens/s", says="x")
        (found,) = candidates_of([file], checks_of("Q4_K_M"), [figure])
        assert (found.prompt_tokens_per_second, found.slow_kernels) == (321.0, 0.75)
        assert "321" in fit_table(choose_file([found], file.name, Machine(4, 5)), 200)

    def test_a_file_that_did_not_run_is_no_candidate(self) -> None:
        dead = file_of("Q8_0").model_copy(update={"divergence": None, "fault": "died"})
        assert candidates_of([dead], checks_of("Q8_0")) == []


class TestDefault:
    FILES = (file_of("Q8_0"), file_of("Q4_K_M"), file_of("Q2_K"))

    def default(self, device: Device, *files: GgufFile) -> tuple[list[str], str]:
        files = files or self.FILES
        found, why = default_first(files, [c for f in files for c in checks_of(f.type, device)], device)
        return [f.type for f in found], why

    def test_the_first_stays_where_it_fits(self) -> None:
        assert self.default(Device(ram_gb=4)) == (["Q8_0", "Q4_K_M", "Q2_K"], "")
        files = (self.FILES[1], self.FILES[0])
        assert self.default(Device(ram_gb=4), *files) == (["Q4_K_M", "Q8_0"], "")

    def test_else_the_best_that_fits(self) -> None:
        kinds, why = self.default(Device(ram_gb=2))
        assert kinds == ["Q4_K_M", "Q8_0", "Q2_K"]
        assert why == "Q4_K_M is the default: Q8_0 needs 2.10 GB of memory, not 2"

    def test_the_best_where_the_recipe_prefers_it(self) -> None:
        files = (self.FILES[1], self.FILES[0])
        kinds, why = self.default(Device(ram_gb=4, prefer="quality"), *files)
        assert kinds == ["Q8_0", "Q4_K_M"]
        assert why.startswith("Q8_0 is the default: Q4_K_M diverges more from F16 (")
        assert self.default(Device(ram_gb=4, prefer="quality")) == (["Q8_0", "Q4_K_M", "Q2_K"], "")

    def test_where_nothing_fits_the_order_is_the_recipe_s(self) -> None:
        assert self.default(Device(ram_gb=0.1)) == (["Q8_0", "Q4_K_M", "Q2_K"], "")


def slow_to_begin(kind: str, device: Device = Device()) -> list[Check]:  # noqa: B008
    """The checks of a file that fits but for its first word."""
    wait, most = 99.0, device.max_seconds_to_first_token
    late = verdict("smoke.first_token", wait, most, "s", False, f"{kind}: after at most 99 s.", subject=kind)
    return [*checks_of(kind, device), late]


class TestWaived:
    """A file that is not for the device fails the proof only where no other would do."""

    def failed(self, device: Device, *kinds: str) -> list[str]:
        checks = [c for k in kinds for c in checks_of(k, device)]
        checks.append(verdict("smoke.stops", 1, 0, "answers", False, "1 of 2 did not end.", subject=kinds[0]))
        found = waive(checks, [file_of(k) for k in kinds], device)
        assert [(c.id, c.passed, c.says) for c in found] == [(c.id, c.passed, c.says) for c in checks]
        return [c.name for c in found if c.failed]

    def test_beside_one_that_fits(self) -> None:
        assert self.failed(Device(ram_gb=2), "Q8_0", "Q4_K_M") == ["smoke.stops of Q8_0"]

    def test_alone(self) -> None:
        assert self.failed(Device(ram_gb=2), "Q8_0") == ["smoke.ram of Q8_0", "smoke.stops of Q8_0"]

    def test_it_is_said_and_not_counted_as_passed(self) -> None:
        device = Device(ram_gb=2)
        checks = [*checks_of("Q8_0", device), *checks_of("Q4_K_M", device)]
        found = waive(checks, [file_of("Q8_0"), file_of("Q4_K_M")], device)
        assert found[1].waived == "Q8_0 is not for this device; the default, Q4_K_M, is."
        assert not found[1].passed
        assert tally(found) == "3 of 4 checks passed; 1 failed and is waived: smoke.ram of Q8_0"
        assert tally(found[2:]) == "All 2 checks passed"

    def test_a_slow_first_word_makes_another_file_the_default(self) -> None:
        files = [file_of("Q8_0"), file_of("Q4_K_M")]
        checks = [*slow_to_begin("Q8_0"), *checks_of("Q4_K_M")]
        found, why = default_first(files, checks, Device())
        assert [f.type for f in found] == ["Q4_K_M", "Q8_0"]
        assert why == "Q4_K_M is the default: Q8_0 takes 99.0 s to the first word, not 20"
        waived = waive(checks, files, Device())
        assert [c.name for c in waived if c.waived] == ["smoke.first_token of Q8_0"]
        assert not any(c.failed for c in waived)
        choice = choose_file(candidates_of(found, checks), found[0].name, of_device(Device()))
        assert choice.best
        assert choice.best.type == "Q4_K_M"

    def test_a_slow_first_word_everywhere_is_no_ground_to_waive_it(self) -> None:
        kinds = ("Q8_0", "Q4_K_M")
        checks = [c for k in kinds for c in slow_to_begin(k)]
        found = waive(checks, [file_of(k) for k in kinds], Device())
        assert [c.name for c in found if c.failed] == ["smoke.first_token of Q8_0", "smoke.first_token of Q4_K_M"]

    @pytest.mark.parametrize(("name", "passed"), [("smoke.stops", False), ("smoke.ram", True)])
    def test_only_a_failed_check_of_the_device_can_be_waived(self, name: str, passed: bool) -> None:
        made = verdict(name, 1, 0, "", passed, "Says.").model_dump()
        with pytest.raises(ValidationError, match="cannot be waived"):
            Check.model_validate(made | {"waived": "because"})


class TestShown:
    def test_the_table_says_all_of_it(self) -> None:
        text = fit_table(chosen(Machine(2, 5)), width=160)
        rows = {line.split()[0]: line for line in text.splitlines() if line.split()[:1] and line.split()[0] in MEASURED}
        assert list(rows) == ["Q2_K", "Q4_K_M", "Q4_0", "Q8_0"]
        assert [rows[kind].split()[-1] for kind in rows] == ["yes", "best", "yes", "no"]
        assert "Q8_0: needs 2.10 GB of memory, not 2" in text
        assert "Q4_0: fits, dominated by Q4_K_M" in text
        assert max(len(line) for line in fit_table(chosen(Machine(2, 5)), width=80).splitlines()[:5]) <= 80
        assert "measured on the machine" in text
        assert "estimate, not measured" in fit_table(chosen(Machine(2, 5, bandwidth=20)), width=160)

    def test_the_advice_is_a_command(self) -> None:
        def advice(machine: Machine) -> str:
            return fit_advice(chosen(machine), lambda settings: f"build {' '.join(settings)}")

        settings = "build device.prefer=quality device.ram_gb=4 device.min_tokens_per_second=5"
        assert advice(Machine(4, 5)).endswith(settings)
        assert advice(Machine(4, 5, bandwidth=90)).endswith("build quantize.types=[Q8_0,Q2_K,Q4_K_M,Q4_0]")
        assert "It is the package's default" in advice(Machine(2, 5))
        assert "add a smaller type" in advice(Machine(0.1, 5))

    def test_the_plot_is_an_image_with_every_file(self) -> None:
        root = ElementTree.fromstring(fit_plot(chosen(Machine(2, 5)), 'a "name" & <more>'))
        space = "{http://www.w3.org/2000/svg}"
        dots = root.findall(f"{space}circle")
        assert [d.get("class") for d in dots] == ["a", "c", "a", "f hollow"]
        assert [float(d.get("cx", 0)) for d in dots] == sorted(float(d.get("cx", 0)) for d in dots)
        heights = [float(d.get("cy", 0)) for d in dots]
        assert heights[0] < heights[2] < heights[1] < heights[3]  # SVG counts from the top; Q8_0 is nearest to zero
        labels = [t.text for t in root.findall(f"{space}text")]
        assert {"Q2_K", "Q4_K_M (default)", "Q4_0 (dominated)", "Q8_0"} <= set(labels)
        assert root.findtext(f"{space}title") == 'a "name" & <more>'

    def test_one_file_that_is_f16_itself(self) -> None:
        one = Candidate("m", "F16", 10**6, 16.0, 0.0, 1.0, 1.0, 2.0, 0.1, None)
        choice = choose_file([one], "m", Machine(1, 5))
        assert choice.best
        ElementTree.fromstring(fit_plot(choice, "x"))
        assert "F16" in fit_table(choice, width=160)


class TestCommand:
    RECIPE = "name: small\nbase: {model: x}\ndata: {source: y}\ndevice: {ram_gb: 2}\n"

    @pytest.fixture
    def run(self, tmp_path: Path) -> Path:
        (tmp_path / "small.yaml").write_text(self.RECIPE)
        package = tmp_path / "small" / "package"
        package.mkdir(parents=True)
        files = [file_of(k).model_dump(mode="json") | {"default": n == 0} for n, k in enumerate(MEASURED)]
        checks = [c.model_dump(mode="json") for k in MEASURED for c in checks_of(k)]
        (package / "manifest.json").write_text(json.dumps({"files": files, "proof": {"checks": checks}}))
        return tmp_path

    def call(self, run: Path, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["fit", str(run / "small.yaml"), "--build-dir", str(run), *words])
        return done.exit_code, done.output

    def test_by_the_recipe_s_device_or_by_options(self, run: Path) -> None:
        code, output = self.call(run)
        assert (code, "Best that fits: model-Q4_K_M.gguf" in output) == (0, True)
        assert "<svg" in (run / "small" / "fit.svg").read_text()
        code, output = self.call(run, "--ram", "4", "--min-speed", "5", "--json")
        assert (code, json.loads(output)["best"]["type"]) == (0, "Q8_0")

    def test_nothing_fits(self, run: Path) -> None:
        code, output = self.call(run, "--ram", "0.1")
        assert (code, "No file fits" in output) == (3, True)

    def test_there_is_no_package(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no package"):
            of_package(tmp_path)
        (tmp_path / "manifest.json").write_text('{"files": []}')
        with pytest.raises(InputError, match="another version"):
            of_package(tmp_path)
