"""Where frames come from: real files through the real decoder, each picture knows its number."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from glasses_sdk.errors import ConfigError, DeviceError, DeviceLost, RecordingEnded
from glasses_sdk.sensors import frames as module
from glasses_sdk.sensors.frames import Frames, Images, Video, Webcam
from glasses_sdk.types import Size

Number = Callable[[np.ndarray], int]


def all_of(source: Frames) -> list[tuple[int, np.ndarray]]:
    """(seq, picture) of each frame to the end."""
    found: list[tuple[int, np.ndarray]] = []
    while frame := source.read():
        found.append((frame.seq, frame.picture))
    return found


def write_pictures(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, picture in pictures.items():
        assert cv2.imwrite(str(folder / name), picture)
    return folder


def flat(grey: int, width: int = 40, height: int = 30) -> np.ndarray:
    return np.full((height, width, 3), grey, np.uint8)


# Video


@pytest.mark.parametrize(("name", "codec"), [("film.avi", "MJPG"), ("film.mp4", "mp4v")])
def test_at_every_pace_each_frame_of_a_video_comes_once_and_in_order(
    film: Callable[..., Path], number: Number, name: str, codec: str
):
    video = Video(film(name, frames=20, codec=codec), "every", None)
    assert video.size == Size(64, 48)
    assert [(seq, number(picture)) for seq, picture in all_of(video)] == [(k, k) for k in range(20)]
    video.close()


def test_a_frame_of_a_video_is_dated_by_its_number_and_the_files_rate(film: Callable[..., Path]):
    video = Video(film(frames=5, fps=40), "every", None)
    begin = video.first_frame_ns
    for k in range(5):
        assert video.next_ns() - begin == k * 25_000_000
        frame = video.read()
        assert frame is not None
        assert frame.time_ns - begin == k * 25_000_000


def test_in_real_time_a_reader_who_sleeps_gets_the_newest_frame_and_sees_the_gap(
    film: Callable[..., Path], number: Number
):
    video = Video(film(frames=30, fps=50), "realtime", None)
    first = video.read()
    time.sleep(0.2)
    before = (time.monotonic_ns() - video.first_frame_ns) // 20_000_000
    second = video.read()
    assert first is not None
    assert second is not None
    assert second.seq >= before >= first.seq + 10
    assert number(second.picture) == second.seq


def test_in_real_time_no_frame_comes_before_it_is_due(film: Callable[..., Path]):
    video = Video(film(frames=8, fps=50), "realtime", None)
    for frame in iter(video.read, None):
        assert time.monotonic_ns() >= frame.time_ns


def test_a_limit_beyond_the_file_shows_it_again_from_its_start(
    film: Callable[..., Path], number: Number
):
    video = Video(film(frames=10), "every", 25)
    assert [(seq, number(picture)) for seq, picture in all_of(video)] == [
        (k, k % 10) for k in range(25)
    ]


def test_frames_skipped_over_the_end_of_a_looped_video_are_counted_right(
    film: Callable[..., Path], number: Number
):
    video = Video(film(frames=10, fps=100), "realtime", 60)
    seen: list[tuple[int, int]] = []
    while frame := video.read():
        seen.append((frame.seq, number(frame.picture)))
        time.sleep(0.07)
    assert seen[-1][0] > 10
    assert all(shown == seq % 10 for seq, shown in seen)


def test_a_limit_within_the_file_ends_there(film: Callable[..., Path]):
    assert [seq for seq, _ in all_of(Video(film(frames=10), "every", 4))] == [0, 1, 2, 3]


def test_a_missing_video_is_a_wrong_setting(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no video .*none\.mp4: the file does not exist"):
        Video(tmp_path / "none.mp4", "every", None)


@pytest.mark.parametrize("content", [b"", b"Dear diary, this is no video.\n" * 40])
def test_what_is_no_video_is_refused_in_one_sentence_of_ours_alone(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
):
    path = tmp_path / "diary.mp4"
    path.write_bytes(content)
    with pytest.raises(DeviceError, match=r"diary\.mp4 is no video that OpenCV can read"):
        Video(path, "every", None)
    assert capfd.readouterr().err == ""


def test_a_video_whose_index_was_cut_off_is_refused(film: Callable[..., Path]):
    path = film("film.mp4", codec="mp4v")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DeviceError, match="is the file whole"):
        Video(path, "every", None)


@pytest.mark.parametrize("limit", [None, 100])
def test_a_video_that_breaks_off_is_lost_and_not_simply_over(
    film: Callable[..., Path], limit: int | None, capfd: pytest.CaptureFixture[str]
):
    path = film(frames=30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = Video(path, "every", limit)
    seen: list[int] = []
    with pytest.raises(DeviceLost, match=r"breaks off after frame \d+ of 30") as lost:
        while frame := video.read():
            seen.append(frame.seq)
    assert not isinstance(lost.value, RecordingEnded)
    assert 0 < len(seen) < 30
    assert capfd.readouterr().err == ""


# Folder of pictures


def test_pictures_come_in_the_order_of_their_names_and_other_files_are_left_alone(
    tmp_path: Path,
):
    folder = write_pictures(
        tmp_path / "p", {"c.png": flat(30), "a.png": flat(10), "b.bmp": flat(20)}
    )
    (folder / "notes.txt").write_text("not a picture")
    shown = all_of(Images(folder, "every", None))
    assert [(seq, picture[0, 0, 0]) for seq, picture in shown] == [(0, 10), (1, 20), (2, 30)]


def test_pictures_are_shown_again_up_to_the_limit(tmp_path: Path):
    folder = write_pictures(tmp_path / "p", {"a.png": flat(10), "b.png": flat(20)})
    shown = all_of(Images(folder, "every", 5))
    assert [picture[0, 0, 0] for _, picture in shown] == [10, 20, 10, 20, 10]


def test_pictures_of_another_size_are_fitted_whole_into_the_first_ones_on_black(tmp_path: Path):
    folder = write_pictures(
        tmp_path / "p", {"a.png": flat(200, 40, 30), "b.png": flat(200, 30, 60)}
    )
    images = Images(folder, "every", None)
    images.read()
    second = images.read()
    assert images.size == Size(40, 30)
    assert second is not None
    lit = second.picture[:, :, 0] == 200
    assert second.picture.shape == (30, 40, 3)
    assert np.flatnonzero(lit.all(axis=0)).tolist() == list(range(12, 27))  # 15 of 40, centred
    assert lit.sum() == 15 * 30


def test_pictures_in_real_time_come_at_the_rate_that_was_asked_for(tmp_path: Path):
    folder = write_pictures(tmp_path / "p", {f"{k}.png": flat(k) for k in range(4)})
    images = Images(folder, "realtime", None, fps=50)
    for frame in iter(images.read, None):
        assert frame.time_ns == images.first_frame_ns + frame.seq * 20_000_000
        assert time.monotonic_ns() >= frame.time_ns


def test_a_folder_that_is_missing_or_has_no_pictures_is_a_wrong_setting(tmp_path: Path):
    with pytest.raises(ConfigError, match="no folder of pictures"):
        Images(tmp_path / "none", "every", None)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ConfigError, match="no pictures in"):
        Images(tmp_path, "every", None)


def test_a_damaged_picture_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    folder = write_pictures(tmp_path / "p", {"a.png": flat(10)})
    (folder / "b.png").write_bytes(b"\x89PNG and then nothing of the kind")
    images = Images(folder, "every", None)
    images.read()
    with pytest.raises(DeviceError, match=r"b\.png is no picture that OpenCV can read"):
        images.read()
    assert capfd.readouterr().err == ""


# Webcam


class Shutter:
    """A real capture of a file that gives a picture whenever it is released, as a camera does."""

    def __init__(self, path: Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        self._pictures = threading.Semaphore(0)
        self.waiting = threading.Event()
        self.released = False

    def take(self, count: int) -> None:
        """Let so many pictures through, and wait until they have been taken."""
        for _ in range(count):
            self.waiting.clear()
            self._pictures.release()
            assert self.waiting.wait(5)

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.waiting.set()
        while not self._pictures.acquire(timeout=0.05):
            if self.released:
                return False, None
        return self._capture.read()

    def release(self) -> None:
        self.released = True
        self._capture.release()


@pytest.fixture
def shutter(film: Callable[..., Path]) -> Shutter:
    return Shutter(film(frames=20))


def open_webcam(shutter: Shutter, limit: int | None = None) -> Webcam:
    """Opened, its first picture taken."""
    first = threading.Thread(target=shutter.take, args=(1,))
    first.start()
    webcam = Webcam(0, limit, shutter)  # type: ignore[arg-type]
    first.join()
    return webcam


def close(webcam: Webcam, shutter: Shutter) -> None:
    shutter.released = True
    webcam.close()


def test_a_webcams_slow_reader_gets_the_newest_picture_and_sees_the_gap(
    shutter: Shutter, number: Number
):
    webcam = open_webcam(shutter)
    first = webcam.read()
    shutter.take(6)
    second = webcam.read()
    assert first is not None
    assert second is not None
    assert (first.seq, number(first.picture)) == (0, 0)
    assert (second.seq, number(second.picture)) == (6, 6)
    assert second.time_ns > first.time_ns
    close(webcam, shutter)


def test_a_webcam_gives_the_first_picture_too_and_no_picture_twice(shutter: Shutter):
    webcam = open_webcam(shutter)
    seen = [webcam.read()]
    for _ in range(3):
        shutter.take(1)
        seen.append(webcam.read())
    assert [frame.seq for frame in seen if frame] == [0, 1, 2, 3]
    close(webcam, shutter)


def test_a_webcam_with_a_limit_ends_after_so_many_pictures(shutter: Shutter):
    webcam = open_webcam(shutter, limit=2)
    assert webcam.read() is not None
    shutter.take(1)
    assert webcam.read() is not None
    assert webcam.read() is None
    close(webcam, shutter)


def test_a_webcam_that_is_unplugged_is_lost_after_its_last_picture(shutter: Shutter):
    webcam = open_webcam(shutter)
    shutter.take(19)
    last = webcam.read()
    assert last is not None
    assert last.seq == 19
    shutter.released = True
    with pytest.raises(DeviceLost, match="webcam:0 is gone: unplugged"):
        webcam.read()
    webcam.close()


def test_a_webcam_that_falls_silent_is_lost(shutter: Shutter, monkeypatch: pytest.MonkeyPatch):
    webcam = open_webcam(shutter)
    webcam.read()
    monkeypatch.setattr(module, "_STALLED_S", 0.1)
    with pytest.raises(DeviceLost, match="webcam:0 gives no picture any more"):
        webcam.read()
    close(webcam, shutter)


def test_a_webcam_that_gives_no_first_picture_cannot_be_opened(
    shutter: Shutter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_FIRST_FRAME_S", 0.1)
    with pytest.raises(DeviceError, match="webcam:0 gives no picture"):
        Webcam(0, None, shutter)  # type: ignore[arg-type]
    assert shutter.released


def test_closing_a_webcam_ends_its_thread_and_lets_go_of_the_device(shutter: Shutter):
    webcam = open_webcam(shutter)
    assert "webcam:0" in {thread.name for thread in threading.enumerate()}
    close(webcam, shutter)
    assert "webcam:0" not in {thread.name for thread in threading.enumerate()}


def test_a_webcam_that_is_not_there_says_what_else_to_try():
    with pytest.raises(DeviceError, match=r"there is no /dev/video77; .*--sensor synthetic"):
        Webcam(77, None)
