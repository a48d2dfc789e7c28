"""`glasses models`, `quantize` and `convert`: released models, and the making of a release."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glasses_sdk import models
from glasses_sdk.cli.app import AsJson, app, interruptible, models_app, progress, say
from glasses_sdk.cli.keep import data_folder
from glasses_sdk.errors import ConfigError, GlassesError

if TYPE_CHECKING:
    from glasses_sdk.crop import Picture

__all__ = [
    "convert",
    "models_card",
    "models_compare",
    "models_list",
    "models_measure",
    "models_package",
    "models_verify",
    "quantize",
]

Release = Annotated[str, typer.Argument(help="A released model's name.")]
Model = Annotated[str, typer.Argument(help="A released model's name or an .onnx file, of floats.")]
Scales = Annotated[
    Path | None,
    typer.Option(
        "--annotations", help="COCO-format file to choose scales by; GLASSES_DATA's train.json."
    ),
]
Measured = Annotated[
    Path | None,
    typer.Option(
        "--measure", help="COCO-format file to measure the loss on; GLASSES_DATA's val.json."
    ),
]
Regions = Annotated[int, typer.Option(min=80, help="How many regions to choose scales by.")]


@models_app.command("list")
def models_list() -> None:
    """The released models that are here, and which precision runs on this machine."""
    from glasses_sdk import precision

    for name in models.released():
        runs = precision.faster(name)
        files = models.precisions(name)
        marked = (f"{kind}*" if path == runs else kind for kind, path in files.items())
        default = "  (default)" if name == models.DEFAULT else ""
        print(f"{name:12} {' '.join(marked):24} {runs.parent}{default}")
    print("* runs on this machine")


@models_app.command("verify")
def models_verify() -> None:
    """Each released file against its checksum."""
    faults = 0
    for checked in models.verify():
        print(f"{checked.file:40} {checked.fault or 'as released'}")
        faults += checked.fault is not None
    if faults:
        raise GlassesError(f"{faults} released files are not as released; reinstall the SDK")


@models_app.command("compare")
def models_compare(name: Release = models.DEFAULT, as_json: AsJson = False) -> None:
    """Time a release's floats and 8 bits on one and on two threads, in turn in one run."""
    from glasses_sdk import precision

    interruptible()
    models.find(name)
    files = {kind: path for kind, path in models.precisions(name).items() if kind != "imx500"}
    times = precision.compare(files, (1, 2), rounds=100)
    rows = [{"precision": kind, "threads": n, "ms": ms} for (kind, n), ms in times.items()]
    if as_json:
        print(json.dumps({"model": name, "times": rows}))
        return
    for row in rows:
        print(f"{row['precision']:6} {row['threads']} threads {row['ms']:8.2f} ms")


@models_app.command("package")
def models_package(
    what: Annotated[
        str, typer.Argument(help="A released model's name, or a folder.")
    ] = models.DEFAULT,
) -> None:
    """Make an IMX500's network.rpk of a release's package, by Raspberry Pi's imx500-package."""
    from glasses_sdk.sensors.imx500.package import package

    interruptible()
    release = models.released().get(what)
    print(f"wrote {package(release.with_name('imx500') if release else Path(what))}")


@models_app.command("measure")
def models_measure(
    name: Release = models.DEFAULT,
    annotations: Annotated[
        Path | None, typer.Option(help="COCO-format file; GLASSES_DATA's val.json.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what is damaged or missing.")
    ] = False,
) -> None:
    """Measure each file of a release: write its metrics.json, then all that `card` writes."""
    try:
        from glasses_sdk.training import recipe, release
    except ImportError as error:
        raise _without_extra("train", error) from error
    from glasses_sdk import evaluation
    from glasses_sdk.network import Network

    interruptible()
    home = models.find(name).parent
    network = recipe.load_recipe(home / "recipe.toml").network
    file = annotations or data_folder() / "val.json"
    reports: dict[str, dict[str, object]] = {}
    for precision, path in models.precisions(name).items():
        reports[precision] = {}
        for kind, settings in release.settings(precision, network, skip_bad).items():
            with progress(f"{precision} {kind}") as step:
                report = evaluation.evaluate(Network(path), file, settings, step)
            reports[precision][kind] = report.to_json()
    with _written(home / "metrics.json"):
        release.write_metrics(home / "metrics.json", reports)
    models_card(name)


@models_app.command("card")
def models_card(name: Release = models.DEFAULT) -> None:
    """Write a release's card.md out of its metrics.json, and the manifest of all releases."""
    try:
        from glasses_sdk.training import card, recipe, release
    except ImportError as error:
        raise _without_extra("train", error) from error
    home = models.find(name).parent
    digests = {kind: models.sha256(path) for kind, path in models.precisions(name).items()}
    metrics = release.read_metrics(home / "metrics.json", digests)
    text = card.card(name, recipe.load_recipe(home / "recipe.toml"), metrics)
    with _written(home / "card.md"):
        (home / "card.md").write_text(text)
        manifest = models.seal()
    print(f"wrote {home / 'card.md'} and {manifest}")


@app.command()
def quantize(
    model: Model,
    out: Annotated[Path | None, typer.Option(help="File to write; int8.onnx beside it.")] = None,
    annotations: Scales = None,
    measure: Measured = None,
    regions: Regions = 160,
) -> None:
    """Make a model's 8-bit file for this computer, and measure what it lost."""
    try:
        from glasses_sdk.training.quantize import quantize as make
    except ImportError as error:
        raise _without_extra("quantize", error) from error
    interruptible()
    source = models.find(model)
    target = out or source.with_name("int8.onnx")
    if target.exists() and target.samefile(source):
        raise ConfigError(f"{target} is the model itself: give another --out")
    against = _against(measure, annotations)
    scales = _regions(source, annotations, regions)
    with _written(target):
        make(source, target, scales)
    print(
        f"wrote {target}, {target.stat().st_size / 1e6:.2f} MB of {source.stat().st_size / 1e6:.2f}"
    )
    if against:
        _loss(source, target, against)


@app.command()
def convert(
    model: Model,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; imx500 beside it.")
    ] = None,
    annotations: Scales = None,
    measure: Measured = None,
    regions: Regions = 96,
    env: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The converter's environment; in the user's cache."),
    ] = None,
) -> None:
    """Make a model's package for the IMX500 by Sony's converter, and measure what it lost."""
    try:
        from glasses_sdk.training.imx500.convert import convert as make
        from glasses_sdk.training.imx500.environment import prepare
    except ImportError as error:
        raise _without_extra("quantize", error) from error
    interruptible()
    source = models.find(model)
    against = _against(measure, annotations)
    folder = out or source.with_name("imx500")
    scales = _regions(source, annotations, regions)
    environment = prepare(env or models.cache() / "imx500-converter", say)
    name = source.parent.name if source.stem == "fp32" else source.stem

    def lost(reference: Path) -> float:
        assert against
        return _loss(source, reference, against)

    with _written(folder):
        package = make(source, name, folder, scales, environment, lost if against else None, say)
    memory = package.memory
    print(
        f"wrote {folder} by {package.method.upper()}: "
        f"{memory['Memory Usage']} of {memory['Total Memory Available On Chip']} "
        f"({memory['Memory Utilization']}), input persistent: {memory['Input Persistent']}"
    )


def _without_extra(extra: str, error: ImportError) -> ConfigError:
    return ConfigError(f"this needs the extra: pip install 'glasses-sdk[{extra}]' ({error.name})")


@contextmanager
def _written(target: Path) -> Generator[None]:
    """A disk that is full or may not be written to is an error of one sentence."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror or error}") from error


def _against(measure: Path | None, annotations: Path | None) -> Path | None:
    """What to measure on; nothing where nobody says and GLASSES_DATA does not either."""
    chosen = measure or (data_folder() / "val.json" if "GLASSES_DATA" in os.environ else None)
    if chosen and annotations and chosen.resolve() == annotations.resolve():
        raise ConfigError(f"{chosen} cannot choose the scales and measure them too")
    if chosen is None:
        say("the loss is not measured: give --measure, or set GLASSES_DATA")
    return chosen


def _regions(source: Path, annotations: Path | None, count: int) -> Picture:
    from glasses_sdk.network import Network
    from glasses_sdk.training.representative import representative

    file = annotations or data_folder() / "train.json"
    return representative(file, Network(source).input, count)


def _loss(source: Path, made: Path, against: Path) -> float:
    """Print what was lost by each protocol; the mIoU of the worse one, 0 to 1."""
    from glasses_sdk.training.loss import losses, worst

    with progress("objects") as step:
        found = losses(source, made, against, step)
    for loss in found:
        print(loss)
    return worst(found)
