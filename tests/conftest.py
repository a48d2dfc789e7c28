"""Things that several test files film, build or wait for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

Picture = npt.NDArray[np.uint8]
STEP = 8  # grey levels between one frame and the next: more than a lossy codec takes away


def numbered(k: int) -> Picture:
    """A flat picture whose grey says its number, 0 to 30."""
    return np.full((48, 64, 3), STEP * k + STEP // 2, np.uint8)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also the tests that take minutes")
    parser.addoption("--imx500", action="store_true", help="the tests that need the camera alone")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """On the real camera nothing else: a stand-in for libcamera must not come near it."""
    other = collection_path.name.startswith("test_") and collection_path.name != "test_hardware.py"
    return True if other and config.getoption("--imx500") else None


@pytest.fixture(scope="session")
def number() -> Callable[[Picture], int]:
    """The number that a picture of `numbered` shows."""
    return lambda picture: int(picture.mean() // STEP)


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video: its pictures in order, by OpenCV's own writer."""

    def write(
        name: str = "film.avi",
        frames: int = 20,
        fps: float = 50.0,
        picture: Callable[[int], Picture] = numbered,
        codec: str = "MJPG",
    ) -> Path:
        height, width = picture(0).shape[:2]
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (width, height))
        for k in range(frames):
            writer.write(picture(k))
        writer.release()
        return path

    return write


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """A model of the contract, 16 x 16 cells: an object is what is brighter than mid-grey."""
    onnx = pytest.importorskip("onnx", reason="models are built with the package onnx")
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["rgb"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real"], ["grey"], axes=[3], keepdims=0),
        helper.make_node("Sub", ["grey", "middle"], ["logits"]),
    ]
    rgb = helper.make_tensor_value_info("rgb", TensorProto.UINT8, ["N", 16, 16, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 16, 16])
    middle = helper.make_tensor("middle", TensorProto.FLOAT, [1], [127.5])
    graph = helper.make_graph(nodes, "bright", [rgb], [logits], [middle])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "bright.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with both outputs of the contract, 96 x 96 cells, its weights drawn by lot."""
    torch = pytest.importorskip("torch", reason="needs the extra: train")
    from glasses_sdk.training.networks import build

    class Contract(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = build("picosam3")
            self.fit = torch.nn.Sequential(
                torch.nn.Conv2d(3, 8, 8, stride=8), torch.nn.ReLU(), torch.nn.Conv2d(8, 5, 12)
            )

        def forward(self, rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            picture = rgb.permute(0, 3, 1, 2).float()
            return self.network(picture), self.fit(picture / 255).flatten(1)[:, 0].sigmoid()

    torch.manual_seed(0)
    model = Contract().train()
    model(torch.randint(0, 256, (4, 96, 96, 3)))  # give the norms statistics of their own
    path = tmp_path_factory.mktemp("scored") / "scored.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model.eval(),
            (torch.zeros(1, 96, 96, 3, dtype=torch.uint8),),
            str(path),
            input_names=["rgb"],
            output_names=["logits", "score"],
            dynamic_axes={name: {0: "n"} for name in ("rgb", "logits", "score")},
            opset_version=17,
            dynamo=False,  # the other exporter needs one more dependency
        )
    return path
