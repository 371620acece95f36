"""Commands that measure what was built, and choose by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from packager.cli.options import load, main, recipe_options


@main.command()
@recipe_options
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json.")
def evaluate(recipe: str, base: str | None, data: str | None, sets: tuple[str, ...], build_dir: Path,
             as_json: bool) -> None:  # fmt: skip
    """Measure base, tuned and every packaged file on the same rows, for the report and the package; builds
    what is missing first."""
    from packager.cli.comparison import finished_evaluation, render_evaluation
    from packager.pipeline import build as building
    from packager.process import progress

    loaded = load(recipe, base, data, sets)
    with progress.route(progress.Display()):
        package = building.build(loaded, build_dir / loaded.name, evaluating=True)
    found = finished_evaluation(build_dir / loaded.name)
    text = f"{render_evaluation(found)}\nReport: {package.folder / 'report.html'}"
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
    from packager.cli import comparison
    from packager.cli.comparison import comparison_table
    from packager.recipe import loading

    folders = [build_dir / loading.load(given).name for given in names]
    rows = comparison.compared(folders, name)
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else comparison_table(rows))


@main.command()
@recipe_options
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

    from packager.cli import summary
    from packager.proof.fit import Machine, choose_file, of_package
    from packager.report.fit import fit_advice, fit_plot, fit_table

    loaded = load(recipe, base, data, sets)
    run, device = build_dir / loaded.name, loaded.device
    least = device.min_tokens_per_second if min_speed is None else min_speed
    wait = None if bandwidth else device.max_seconds_to_first_token  # of another machine it is not known
    machine = Machine(ram or device.ram_gb, least, wait, bandwidth)
    choice = choose_file(*of_package(run / "package"), machine)
    path = plot or run / "fit.svg"
    path.write_text(fit_plot(choice, loaded.name), encoding="utf-8")

    def command(settings: Sequence[str]) -> str:
        overrides = {"base": base, "data": data, "set": " ".join((*sets, *settings))}
        return summary.command("build", recipe, overrides, build_dir)

    text = f"{fit_table(choice)}\nPlot: {path}\n{fit_advice(choice, command)}"
    click.echo(json.dumps(asdict(choice), indent=2, ensure_ascii=False) if as_json else text)
    raise click.exceptions.Exit(0 if choice.best else 3)
