"""Commands for before the first build: the machine, the data, a new recipe."""

from __future__ import annotations

import json
from pathlib import Path

import click

from packager.cli.options import main


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
    from packager.data.audit import files
    from packager.data.audit.report import render_audit
    from packager.recipe import loading
    from packager.recipe.loading import SHIPPED

    is_recipe = source.endswith((".yaml", ".yml")) or (SHIPPED / f"{source}.yaml").is_file()
    if is_recipe:
        prepared = files.audit_recipe(loading.load(source), redact=written is not None)
    else:
        prepared = files.audit_file(source, redact=written is not None, encoding=encoding)
    if written:
        click.echo(f"{files.write_rows(prepared, written)} rows written to {written}", err=True)
    found = prepared.audit
    click.echo(
        json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False) if as_json else render_audit(found)
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
    from packager.cli import new_recipe, summary

    path, assumed = new_recipe.write(name, source, base, language or "", encoding)
    click.echo(f"Wrote {path}. Assumed from what the data look like:\n{assumed}")
    click.echo(f"Next: {summary.command('check', name, {})}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--fields", is_flag=True, help="Print every recipe field with its default and meaning.")
@click.option("--markdown", is_flag=True, help="Print them as docs/recipe.md.")
def recipes(as_json: bool, fields: bool, markdown: bool) -> None:
    """List the recipes with what each needs."""
    from packager.cli import summary
    from packager.recipe import fields as reference
    from packager.recipe import loading
    from packager.recipe.loading import shipped

    if fields or markdown:
        click.echo(reference.markdown().rstrip() if markdown else summary.of_fields(reference.fields()))
        return
    loaded = [loading.load(str(path)) for path in shipped()]
    dumped = [{"name": r.name, "base": r.base.model, "data": r.data.source, "about": r.description} for r in loaded]
    click.echo(json.dumps(dumped, indent=2, ensure_ascii=False) if as_json else summary.of_recipes(loaded))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Say what this machine can train and run."""
    from packager.cli import doctor as diagnosis
    from packager.cli.doctor import render_report

    report = diagnosis.examine()
    click.echo(json.dumps(report, indent=2, ensure_ascii=False) if as_json else render_report(report))


@main.command()
def setup() -> None:
    """Fetch the vendored llama.cpp (converter and sources), check it, and try the compiled library.
    `make setup` runs this."""
    from packager.llamacpp import vendored
    from packager.llamacpp.processor_check import check_runs
    from packager.llamacpp.vendored import fetch_source
    from packager.process import progress

    with progress.route(progress.Display()):
        fetch_source()
    check_runs()
    click.echo(f"llama.cpp {vendored.commit()} is in place and runs.")
