"""A release's card.md, out of its figures and its recipe."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from glasses_sdk.training.recipe import Recipe
from glasses_sdk.training.release import IMPRECISE, Found, Metrics

__all__ = ["card"]

_SOURCES = Path(__file__).with_name("sources.toml")
_PICTURES = {"coco": "COCO val2017, 150-image subset", "ecssd": "ECSSD 701-800"}
_TITLES = {"picosam2": "PicoSAM2", "picosam3": "PicoSAM3", "picosam3-fine": "PicoSAM3, fine"}
_ATTENTION = {
    "published": "1,371,418 parameters, exactly as published",
    "eca": "1,369,821 parameters: the published network, with the channel attention of textbooks",
}
_REPORTED = {
    "picosam2": (
        "The paper reports 51.9 mIoU on COCO by its own protocol, `point`, on all of val2017."
    ),
    "picosam3": (
        "The paper reports 65.45 mIoU on COCO by `box`, on all of val2017, of which a box that is "
        "20% imprecise costs 7.2; its network saw about 60 times more masks."
    ),
}

Rows = Iterable[Iterable[object]]


def card(name: str, recipe: Recipe, metrics: Metrics) -> str:
    """Markdown; `metrics` holds what `release.settings` asks for."""
    parts = [
        *_what(recipe),
        *_files(name, metrics),
        *_how_good(name, recipe, metrics),
        *_how_made(name, recipe),
        *_use(recipe),
    ]
    return "\n\n".join(parts) + "\n"


def _what(recipe: Recipe) -> Iterator[str]:
    yield f"# {_TITLES[recipe.network]}"
    kind = {
        "picosam2": "a depthwise-separable U-Net, 1,262,818 parameters, exactly as published",
        "picosam3": (
            "a depthwise-separable U-Net with a dilated bottleneck and channel attention, "
            + _ATTENTION[recipe.attention]
        ),
        "picosam3-fine": "PicoSAM3 changed for larger pictures, which is ours and not the papers'",
    }[recipe.network]
    yield (
        f"The network that turns a region into a mask: {kind}; trained here from scratch. "
        "The prompt is implicit: the object in the middle of the region."
    )


def _files(name: str, metrics: Metrics) -> Iterator[str]:
    said = {
        "fp32": ("fp32.onnx", "floats: bytes of RGB in, logits out, an object where they are > 0"),
        "int8": ("int8.onnx", "the same in 8 bits, for computers"),
        "imx500": ("imx500/", "the package for the IMX500, and its network as a model to run here"),
    }
    rows = [(f"`{file}`", what) for kind, (file, what) in said.items() if kind in metrics]
    rows += [("`recipe.toml`", "data, regions and schedule of the training")]
    rows += [("`metrics.json`", f"all figures, as `glasses models measure {name}` wrote them")]
    yield _table(("file", "what"), rows)


def _how_good(name: str, recipe: Recipe, metrics: Metrics) -> Iterator[str]:
    floats = metrics["fp32"]
    yield "## How good it is"
    yield (
        f"Model `{floats['box'].model}`, on pictures that it was not trained on; mIoU, mAP and "
        "boundary F in percent, n objects. [The protocols](../../docs/reference/evaluation.md): in "
        "`box`, PicoSAM3's, the object's box padded by 10 % on each side and made square; in "
        "`tight` the same without the square."
    )
    yield f"```sh\nglasses models measure {name} --annotations $GLASSES_DATA/val.json\n```"
    yield from _regions(metrics)
    if "point" in floats:
        yield from _clicks(floats["point"].sources)
    if recipe.network in _REPORTED:
        yield _REPORTED[recipe.network]
    yield from _precisions(metrics)
    yield from _imprecise(metrics)
    yield from _servo(floats["servo"].sources)
    yield from _score(metrics)


def _regions(metrics: Metrics) -> Iterator[str]:
    kinds = ("box", "tight")
    found = [(kind, *one) for kind in kinds for one in metrics["fp32"][kind].sources.items()]
    yield _table(
        (
            *("pictures", "protocol", "n", "mIoU", "mAP", "boundary F"),
            *("own box filled", "own box's ellipse", "GrabCut from it"),
        ),
        [
            (
                *(_pictures(source), f"`{kind}`", one.n, _percent(one.miou), _percent(one.map)),
                _percent(one.boundary_f),
                *(_baseline(one, name) for name in ("box", "box_ellipse", "grabcut")),
            )
            for kind, source, one in found
        ],
    )
    yield (
        "The last three are mIoU without a network, for whoever knows the object's own box; a "
        "square region does not tell it."
    )
    below = [
        f"{_pictures(source)} by `{kind}`"
        for kind, source, one in found
        if one.miou < one.baselines["box_ellipse"].miou
    ]
    if below:
        yield f"**Below the own box's ellipse**: {'; '.join(below)}."


def _clicks(sources: dict[str, Found]) -> Iterator[str]:
    yield (
        "From a click in the object's middle, by PicoSAM2's protocol `point`: 96 x 96 pixels "
        "around it. Beside it the ellipse around the click of that one of five sizes that suits "
        "these pictures best."
    )
    yield _table(
        ("pictures", "n", "mIoU", "mAP", "boundary F", "best ellipse"),
        [
            (
                *(_pictures(source), one.n, _percent(one.miou), _percent(one.map)),
                *(_percent(one.boundary_f), _percent(max(o.miou for o in one.baselines.values()))),
            )
            for source, one in sources.items()
        ],
    )


def _precisions(metrics: Metrics) -> Iterator[str]:
    kinds = [kind for kind in ("box", "tight", "point") if kind in metrics["fp32"]]
    yield "mIoU of each file, `imx500` as the chip computes it:"
    yield _table(
        ("pictures", "protocol", "n", *(f"`{precision}`" for precision in metrics)),
        [
            (
                *(_pictures(source), f"`{kind}`", one.n),
                *(_percent(each[kind].sources[source].miou, 2) for each in metrics.values()),
            )
            for kind in kinds
            for source, one in metrics["fp32"][kind].sources.items()
        ],
    )


def _imprecise(metrics: Metrics) -> Iterator[str]:
    floats = metrics["fp32"]
    yield f"mIoU with a box that is {IMPRECISE:.0%} imprecise as in PicoSAM3's paper, five seeds:"
    yield _table(
        ("pictures", "protocol", "n", "exact", "imprecise", "lost"),
        [
            (
                *(_pictures(source), f"`{kind}`", one.n, _percent(exact)),
                *(_percent(one.miou), _percent(exact - one.miou)),
            )
            for kind in ("box", "tight")
            for source, one in floats[f"{kind}_imprecise"].sources.items()
            for exact in [floats[kind].sources[source].miou]
        ],
    )


def _servo(sources: dict[str, Found]) -> Iterator[str]:
    runs = list(next(iter(sources.values())).passes)
    yield (
        "From one look alone (protocol `servo`), IoU in the whole picture after so many runs of "
        "the network; beside it one run on the true box, tight and square, and the best of five "
        "sizes chosen by the truth. Objects of more than 1,024 pixels."
    )
    yield _table(
        ("pictures", "n", *runs, "true box, tight", "true box, square", "best size"),
        [
            (
                *(_pictures(source), one.n),
                *map(_percent, (*one.passes.values(), one.oracle, one.oracle_square)),
                _percent(one.best_scale),
            )
            for source, one in sources.items()
        ],
    )


def _score(metrics: Metrics) -> Iterator[str]:
    said = [
        f"{one.score.correlation:.2f} ({_pictures(source)}, `{kind}`)"
        for kind in ("box", "tight")
        for source, one in metrics["fp32"][kind].sources.items()
        if one.score.correlation is not None
    ]
    yield (
        "The score of a mask is the mean of the sigmoid over its cells: how sure the network is of "
        "what it drew, not whether it drew the whole object. Its correlation with the IoU: "
        + (", ".join(said) or "none, it never changes")
        + "; the curve is in `metrics.json`."
    )


def _how_made(name: str, recipe: Recipe) -> Iterator[str]:
    begun = f", beginning with the weights of the run `{recipe.start}`" if recipe.start else ""
    yield "## How it was made"
    yield f"```sh\nglasses train models/{name}/recipe.toml\n```"
    yield (
        f"{recipe.schedule.samples:,} regions of {recipe.side} x {recipe.side}{begun}; "
        "regions and schedule are in `recipe.toml`."
    )
    yield "Trained on pictures of:"
    yield "\n".join(f"- {line}" for line in _data(recipe))


def _data(recipe: Recipe) -> Iterator[str]:
    known: dict[str, dict[str, Any]] = tomllib.loads(_SOURCES.read_text())
    for source, share in sorted(recipe.data.weights.items(), key=lambda item: -item[1]):
        entry = known.get(source, {"name": source})
        terms = f"; {entry['terms']}" if "terms" in entry else ""
        more = f": {', '.join(entry['repositories'])}" if "repositories" in entry else ""
        yield f"{entry['name']} ({share:.0%} of the samples{terms}){more}"


def _use(recipe: Recipe) -> Iterator[str]:
    yield "## What it may be used for"
    yield (
        "Research and prototypes. Most of these collections are for research or non-commercial use "
        "only, and where no terms are stated nothing more is allowed; the weights carry these "
        "restrictions. Nothing of the pictures is in this project."
    )
    yield (
        "It knows everyday things seen from near: people, animals, furniture, food, vehicles. What "
        "it is not for: it has not been measured on medical, aerial or night pictures, and not on "
        "hardware; nothing whose failure could hurt anybody may depend on it; it must not be used "
        "to decide anything about a person."
    )


def _pictures(source: str) -> str:
    return _PICTURES.get(source, source)


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}"


def _baseline(one: Found, name: str) -> str:
    return _percent(one.baselines[name].miou)


def _table(head: Iterable[object], rows: Rows) -> str:
    lines = [list(map(str, head)), *(list(map(str, row)) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
