"""The command line: parse, call, echo. Stages and heavy libraries are imported when they are used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from packager import __version__
from packager.errors import explain


class Commands(click.Group):
    """A group whose commands turn errors of the operating system into messages for people."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (OSError, MemoryError) as error:
            explained = explain(error)
            if explained is None or isinstance(error, BrokenPipeError):
                raise
            raise explained from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="packager")
def main() -> None:
    """From a base model and a file of questions and answers to an offline, proven package.

    A RECIPE is the name of one in recipes/, or the path of a YAML file. Exit codes: 0 done, 1 our bug,
    2 your input, 3 a proof failed, 4 a tool or resource is missing, 75 another build holds the folder.
    """


def _recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True,
                     help="Where run folders lie."),
        click.option("--set", "sets", multiple=True, metavar="a.b=c", help="Override a recipe field; repeatable."),
        click.option("--data", metavar="PATH", help="Override data.source."),
        click.option("--base", metavar="MODEL", help="Override base.model."),
        click.argument("recipe"),
    ):  # fmt: skip
        command = option(command)
    return command


def _load(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...]) -> Any:
    from packager import recipe as recipes

    # Several overrides in one text: a new one begins where a space is followed by `field.path=`.
    overrides = [word for text in sets for word in re.split(r"\s+(?=[a-z_]+(?:\.[a-z_]+)*=)", text.strip())]
    if base:
        # The checksum and revision of the recipe's own base say nothing about another one.
        overrides += [f"base.model={base}", "base.sha256=null", "base.revision=null", "base.licence=null"]
    if data:
        overrides.append(f"data.source={data}")
    return recipes.load(recipe, overrides)


@main.command()
@_recipe_options
@click.option("--until", metavar="STAGE", default="package", show_default=True, help="Stop after this stage.")
@click.option("--verify", is_flag=True, help="Hash finished stages again instead of trusting their sizes.")
def build(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path, until: str,
          verify: bool) -> None:  # fmt: skip
    """Build a package; run again to resume. Nothing to do takes under a second."""
    from packager import build as building
    from packager import progress, summary

    loaded = _load(recipe, base, data, sets)
    with progress.route(progress.Display()):
        artifact = building.build(loaded, build_dir / loaded.name, until, verify=verify)
    overrides = {"base": base, "data": data, "set": " ".join(sets)}
    click.echo(summary.of_build(artifact, summary.command("chat", recipe, overrides, build_dir)))


@main.command()
@_recipe_options
def check(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path) -> None:
    """Check everything that can fail early, and build nothing."""
    from packager import preflight, progress, summary

    loaded = _load(recipe, base, data, sets)
    with progress.route(progress.Display()):
        found = preflight.check(loaded, build_dir / loaded.name)
    overrides = {"base": base, "data": data, "set": " ".join(sets)}
    click.echo(summary.of_check(loaded, found, summary.command("build", recipe, overrides, build_dir)))


@main.command()
@_recipe_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path,
         as_json: bool) -> None:  # fmt: skip
    """Show each stage: done or to run and why, and what it took last time."""
    from dataclasses import asdict

    from packager import build as building
    from packager import summary

    loaded = _load(recipe, base, data, sets)
    steps = building.plan(loaded, build_dir / loaded.name)
    click.echo(json.dumps([asdict(s) for s in steps], indent=2) if as_json else summary.of_plan(steps))


@main.command()
@_recipe_options
@click.option("--file", "file_type", metavar="TYPE", help="Which quantization to talk to (default: the package's).")
@click.argument("question", required=False)
def chat(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path,
         file_type: str | None, question: str | None) -> None:  # fmt: skip
    """Talk to the packaged model in the terminal, or ask it one QUESTION."""
    from packager import talk

    loaded = _load(recipe, base, data, sets)
    talk.chat(loaded, build_dir / loaded.name / "package", file_type, question)


@main.command()
@_recipe_options
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json.")
def evaluate(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path,
             as_json: bool) -> None:  # fmt: skip
    """Measure base, tuned and every packaged file on the same rows, for the report and the package; builds
    what is missing first."""
    from packager import build as building
    from packager import evaluated, progress

    loaded = _load(recipe, base, data, sets)
    with progress.route(progress.Display()):
        package = building.build(loaded, build_dir / loaded.name, evaluating=True)
    found = evaluated.finished(build_dir / loaded.name)
    text = f"{evaluated.render(found)}\nReport: {package.folder / 'report.html'}"
    click.echo((found.folder / "metrics.json").read_text("utf-8") if as_json else text)


@main.command()
@click.argument("names", nargs=-1, required=True, metavar="RECIPE...")
@click.option(
    "--build-dir",
    type=click.Path(path_type=Path),
    default=Path("build"),
    show_default=True,
    help="Where run folders lie.",
)
@click.option("--set", "name", default="heldout", show_default=True, help="On which validation set.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(names: tuple[str, ...], build_dir: Path, name: str, as_json: bool) -> None:
    """One table over evaluated recipes: quality, trainable parameters, memory, time."""
    from packager import evaluated
    from packager import recipe as recipes_module

    folders = [build_dir / recipes_module.load(given).name for given in names]
    rows = evaluated.compared(folders, name)
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else evaluated.table(rows))


@main.command()
@_recipe_options
@click.option(
    "--ram",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB",
    help="Memory that the model may use (default: the recipe's device.ram_gb).",
)
@click.option(
    "--min-speed",
    type=click.FloatRange(min=0),
    metavar="T",
    help="Least tokens per second (default: the recipe's device.min_tokens_per_second).",
)
@click.option(
    "--bandwidth",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB/S",
    help="Estimate the speed of another machine from its memory bandwidth.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Where to write quality against size (default: fit.svg in the run folder).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def fit(
    recipe: str,
    base: str | None,
    data: str | None,
    sets: tuple[str, ...],
    build_dir: Path,
    ram: float | None,
    min_speed: float | None,
    bandwidth: float | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Choose the best packaged quantization for a machine, from what was measured; show and plot all."""
    from dataclasses import asdict

    from packager import fit as fitting
    from packager import summary

    loaded = _load(recipe, base, data, sets)
    run, device = build_dir / loaded.name, loaded.device
    least = device.min_tokens_per_second if min_speed is None else min_speed
    machine = fitting.Machine(ram or device.ram_gb, least, bandwidth)
    choice = fitting.choose(*fitting.of_package(run / "package"), machine)
    path = plot or run / "fit.svg"
    path.write_text(fitting.plot(choice, loaded.name), encoding="utf-8")

    def command(settings: Sequence[str]) -> str:
        overrides = {"base": base, "data": data, "set": " ".join((*sets, *settings))}
        return summary.command("build", recipe, overrides, build_dir)

    text = f"{fitting.table(choice)}\nPlot: {path}\n{fitting.advice(choice, command)}"
    click.echo(json.dumps(asdict(choice), indent=2, ensure_ascii=False) if as_json else text)
    raise click.exceptions.Exit(0 if choice.best else 3)


@main.command()
@_recipe_options
@click.option("--repo", required=True, metavar="ORG/NAME", help="The model repo to push to.")
@click.option("--public", is_flag=True, help="Let everyone see it; otherwise it is private.")
@click.option("--adapter", is_flag=True, help="Push the adapter too, to ORG/NAME-adapter.")
@click.option("--merged", is_flag=True, help="Push the merged FP16 weights too, to ORG/NAME-merged.")
@click.option("--dry-run", is_flag=True, help="Say what would go where, and send nothing.")
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Give up after this long (default: 10, and what a slow line takes).",
)
def push(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path, repo: str,
         public: bool, adapter: bool, merged: bool, dry_run: bool, deadline: float | None) -> None:  # fmt: skip
    """Publish a finished package on the Hub; run again to resume."""
    from packager import hub, proc
    from packager import push as pushing
    from packager.push import rendering

    loaded = _load(recipe, base, data, sets)
    staged = pushing.staged(loaded, build_dir / loaded.name, repo, public=public, adapter=adapter, merged=merged)
    with proc.interruptible(), staged as shipment:
        click.echo(rendering.plan(shipment))
        with hub.connection(deadline * 60 if deadline else pushing.deadline(shipment)) as watch:
            account, replies = pushing.ask(shipment)
            click.echo(rendering.reply(account, replies, shipment))
            if not dry_run:
                click.echo(rendering.pushed(pushing.push(shipment, replies, watch)))


def _targets(context: click.Context, option: click.Parameter, value: Sequence[str] | str | None) -> tuple[str, ...]:
    from packager import llamacpp

    names = tuple(value.split(",")) if isinstance(value, str) else tuple(value or ())
    if unknown := [name for name in names if name not in llamacpp.TARGETS]:
        raise click.BadParameter(f"{unknown[0]} is none of {', '.join(llamacpp.TARGETS)}")
    return names


@main.command()
@click.argument("targets", nargs=-1, callback=_targets)
@click.option("--build-dir", type=click.Path(path_type=Path), default=Path("build"), show_default=True,
              help="Where run folders lie.")  # fmt: skip
def runtime(targets: tuple[str, ...], build_dir: Path) -> None:
    """Build llama-server for clinics: windows-x86_64, linux-x86_64, linux-arm64, or those named."""
    from packager import bundling, llamacpp, proc

    with proc.interruptible():
        made = bundling.programs(targets or tuple(llamacpp.TARGETS), build_dir / "runtime")
    click.echo("\n".join(f"{name}: {made.folder / path}" for name, path in made.binaries.items()))


@main.command()
@_recipe_options
@click.option(
    "--sign",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="KEY",
    help="Sign with this private ed25519 key (made by ssh-keygen).",
)
@click.option(
    "--to",
    "stick",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Copy it there, for example to a USB stick, and read it back; run again to resume.",
)
@click.option("--targets", callback=_targets, metavar="A,B", help="For these kinds of machines only.")
def bundle(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path,
           sign: Path | None, stick: Path | None, targets: tuple[str, ...]) -> None:  # fmt: skip
    """Make the folder for the clinic from a finished package: it runs without network or Python."""
    from packager import bundling, proc, progress, summary
    from packager.clinic import signing
    from packager.clinic import stick as sticks

    loaded = _load(recipe, base, data, sets)
    with proc.interruptible(), progress.route(progress.Display()):
        made = bundling.programs(targets, build_dir / "runtime")
        bundled = bundling.bundle(loaded, build_dir / loaded.name, made, signed=sign is not None)
        key = signing.sign(bundled.folder, sign) if sign else ""
        copied = sticks.copy(bundled.folder, stick) if stick else None
    click.echo(summary.of_bundle(bundled, key, copied))


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PUBLIC.pub",
    help="Also check that it is signed by the owner of this key.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")  # fmt: skip
def verify(folder: Path, key: Path | None, as_json: bool) -> None:
    """Check a copy of a package or bundle: files, checksums, manifest, proof, signature. Needs no network."""
    from dataclasses import asdict

    from packager import verify as verifying

    found = verifying.verify(folder, key)
    click.echo(json.dumps(asdict(found)) if as_json else verifying.render(found))


@main.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="MODEL.gguf")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--gb",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    help="Largest part, in GB of 10^9 bytes.",
)
def split(model: Path, folder: Path, gb: float) -> None:
    """Write a GGUF file into FOLDER in parts, for a FAT32 stick; llama.cpp loads it from the first."""
    from packager import llamacpp, progress

    with progress.route(progress.Display()):
        parts = llamacpp.split_file(model, folder, int(gb * 10**9))
    click.echo("\n".join(f"{part}: {part.stat().st_size / 1e6:,.0f} MB" for part in parts))


@main.command()
@click.argument("source", metavar="FILE|RECIPE")
@click.option(
    "--write",
    "written",
    type=click.Path(path_type=Path),
    metavar="OUT.jsonl",
    help="Also write the cleaned rows, identifiers redacted.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of a bare text file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit(source: str, written: Path | None, encoding: str, as_json: bool) -> None:
    """Say what is in the data: duplicates, leaks, lengths, language, patient identifiers."""
    from packager import audit as auditing
    from packager import recipe as recipes_module
    from packager.audit import files

    is_recipe = source.endswith((".yaml", ".yml")) or (recipes_module.SHIPPED / f"{source}.yaml").is_file()
    if is_recipe:
        prepared = files.audit_recipe(recipes_module.load(source), redact=written is not None)
    else:
        prepared = files.audit_file(source, redact=written is not None, encoding=encoding)
    if written:
        click.echo(f"{files.write_rows(prepared, written)} rows written to {written}", err=True)
    found = prepared.audit
    click.echo(
        json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False) if as_json else auditing.render(found)
    )
    if not is_recipe:
        click.echo(f"Next: packager new NAME --data {written or source}", err=True)


@main.command()
@click.argument("name")
@click.option("--data", "source", required=True, metavar="FILE", help="Questions and answers: file, folder or hf:name.")
@click.option("--base", default="", metavar="MODEL", help="Base model (default: the small one of smollm2_aps).")
@click.option("--language", type=click.Choice(["pt-BR", "en"]), default=None, help="What it is to answer in.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of a text file.")
def new(name: str, source: str, base: str, language: str | None, encoding: str) -> None:
    """Write a recipe for a data file into recipes/, and say what was assumed."""
    from packager import draft, summary

    path, assumed = draft.write(name, source, base, language or "", encoding)
    click.echo(f"Wrote {path}. Assumed from what the data look like:\n{assumed}")
    click.echo(f"Next: {summary.command('check', name, {})}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--fields", is_flag=True, help="Print every recipe field with its default and meaning.")
def recipes(as_json: bool, fields: bool) -> None:
    """List the recipes with what each needs."""
    from packager import recipe as recipes_module
    from packager import summary

    if fields:
        click.echo(summary.of_fields(recipes_module.fields()))
        return
    loaded = [recipes_module.load(str(path)) for path in recipes_module.shipped()]
    dumped = [{"name": r.name, "base": r.base.model, "data": r.data.source, "about": r.description} for r in loaded]
    click.echo(json.dumps(dumped, indent=2, ensure_ascii=False) if as_json else summary.of_recipes(loaded))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Say what this machine can train and run."""
    from packager import doctor as diagnosis

    report = diagnosis.examine()
    click.echo(json.dumps(report, indent=2, ensure_ascii=False) if as_json else diagnosis.render(report))


@main.command()
def setup() -> None:
    """Fetch the vendored llama.cpp (converter and sources), check it, and try the compiled library.
    `make setup` runs this."""
    from packager import llamacpp, progress

    with progress.route(progress.Display()):
        llamacpp.fetch()
    llamacpp.check_runs()
    click.echo(f"llama.cpp {llamacpp.commit()} is in place and runs.")
