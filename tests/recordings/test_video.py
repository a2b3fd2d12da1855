"""Read videos with both faces: frames equal to those of the whole file, the bytes downloaded, and faults.

The expected frames are those that PyAV decodes from the whole file.
"""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from one_async import ONE, AsyncONE
from one_async.emulator import Emulator
from one_async.errors import (
    ALFObjectNotFound,
    ConfigurationError,
    FileDamaged,
    InputError,
    OneError,
    ServerUnreachable,
)
from one_async.recordings.chunks import BLOCK_SIZE, ChunkReader, Layout
from one_async.recordings.video import AsyncVideo
from one_async.recordings.video_decoding import Decoder

av = pytest.importorskip("av")

COUNT, WIDTH, HEIGHT = 150, 96, 64
#: Encodings: without B-frames, with them, and with open groups that need the one before.
WAYS = {
    "plain": "bframes=0:keyint=24:scenecut=0",
    "reordered": "bframes=3:keyint=24:scenecut=0",
    "open groups": "bframes=3:keyint=24:scenecut=0:open-gop=1",
}


def encoded(way: str, count: int = COUNT, noise: int = 20, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """Return a video of a bar that moves over noise."""
    rng, file, (width, height) = np.random.default_rng(3), io.BytesIO(), size
    with av.open(file, "w", format="mp4") as container:
        options = {"x264-params": WAYS[way], "preset": "ultrafast" if way == "plain" else "fast", "crf": "20"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            picture = rng.integers(0, noise + 1, (height, width, 3), dtype=np.uint8)
            picture[:, number % width] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def decoded(data: bytes, pixels: str = "rgb24") -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format=pixels) for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def files() -> dict[str, tuple[bytes, np.ndarray]]:
    return {way: (data := encoded(way), decoded(data)) for way in WAYS}


class Served:
    """An emulator with a video of the left camera; everything else is from the seeded world."""

    def __init__(self, emulator: Emulator, data: bytes) -> None:
        self.emulator, self.data = emulator, data
        world = emulator.app.world
        self.eid = min(one["session"] for one in world.records["insertions"]["list"])
        self.views: dict[str, str] = {}
        for row in world.records["datasets"]["list"]:
            if (row["session"] or "").endswith(self.eid) and row["name"].endswith("Camera.raw.mp4"):
                (url,) = (one["data_url"] for one in row["file_records"] if one["data_url"])
                view = row["name"].removeprefix("_iblrig_").partition("Camera")[0]
                self.views[view] = url.partition("//")[2].partition("/")[2].removeprefix("data/")
        self.put("left", data)

    def put(self, view: str, data: bytes) -> None:
        self.emulator.app.files[self.views[view]] = data

    def path(self, view: str) -> str:
        return f"/data/{self.views[view]}"


@pytest.fixture(scope="module")
def served(files: dict[str, tuple[bytes, np.ndarray]]) -> Iterator[Served]:
    with Emulator() as emulator:
        yield Served(emulator, files["reordered"][0])


@pytest.fixture
def options(served: Served, tmp_path: Path) -> Iterator[dict[str, Any]]:
    served.emulator.requests.reset()
    yield {
        "base_url": served.emulator.url,
        "username": "demo",
        "password": "demo",
        "cache_dir": tmp_path,
        "mode": "remote",
    }
    served.emulator.faults.clear()
    served.put("left", served.data)


def on_disk(file: Path, pixels: str = "rgb24") -> AsyncVideo:
    reader = ChunkReader(Layout.of_bytes("a camera", file.stat().st_size), file)
    return AsyncVideo(reader, Decoder(reader, pixels), None, eid="x", camera="left", pixels=pixels)


def read(file: Path, *keys: Any, pixels: str = "rgb24") -> list[np.ndarray]:
    """Return the frames of each key, read one after the other with the same decoder."""

    async def get() -> list[np.ndarray]:
        video = await anyio.to_thread.run_sync(on_disk, file, pixels)
        return [await video[key] for key in keys]

    return anyio.run(get)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pixels", ["rgb24", "gray"])
def test_frames_are_those_of_the_whole_file(
    files: dict[str, tuple[bytes, np.ndarray]], tmp_path: Path, way: str, pixels: str
) -> None:
    data, whole = files[way]
    whole = whole if pixels == "rgb24" else decoded(data, pixels)
    file = tmp_path / "x.mp4"
    file.write_bytes(data)
    rng = np.random.default_rng(5)
    keys: list[Any] = [
        slice(None), 0, -1, COUNT - 1, slice(20, 30), slice(30, 31), slice(100, 10, -7), slice(5, 5), slice(140, 999),
        [7, 3, 3, 149], np.arange(COUNT) % 50 == 0, np.int64(24), 23, 24, 25, 22,
        *rng.integers(0, COUNT, 20).tolist(), *(rng.integers(0, COUNT, 4) for _ in range(5)),
    ]  # fmt: skip
    for key, found in zip(keys, read(file, *keys, pixels=pixels), strict=True):
        assert found.dtype == np.uint8
        assert np.array_equal(found, whole[key]), key


def test_a_blocking_video_reads_frames(served: Served, options: dict[str, Any]) -> None:
    whole = decoded(served.data)
    with ONE(**options) as one:
        video = one.video(served.eid, "left", check_hash=False)
        assert (len(video), video.fps, video.size) == (COUNT, 30, (WIDTH, HEIGHT))
        assert video.shape == (COUNT, HEIGHT, WIDTH, 3)
        assert "left camera: 150 frames of 96 × 64 pixels, 30 a second" in repr(video)
        assert np.array_equal(video[20:50], whole[20:50])
        assert np.array_equal(video[-1], whole[-1])
        assert np.array_equal(np.asarray(video), whole)
        with pytest.raises(TypeError):
            iter(video)
    assert np.array_equal(video[5], whole[5])  # the client opens again


@pytest.mark.anyio
async def test_an_awaited_video_reads_frames_at_times(served: Served, options: dict[str, Any]) -> None:
    whole = decoded(served.data, "gray")
    async with AsyncONE(**options) as one:
        video = await one.video(served.eid, "leftCamera", "gray")
        times = await one.load_dataset(served.eid, "_ibl_leftCamera.times.npy")
        assert np.array_equal(video.times, times)
        at = [times[40] + 0.001, times[3] - 0.001, times[0], times[COUNT - 1], times[3]]
        assert np.array_equal(await video.at(at), whole[[40, 3, 0, COUNT - 1, 3]])
        assert np.array_equal(await video.at(times[7]), whole[[7]])
        assert (await video.at([])).shape == (0, HEIGHT, WIDTH)
        for wrong in (times[0] - 1, times[COUNT - 1] + 1, float("nan"), None, "x", [[1.0]], [True], {1.0}):
            with pytest.raises(InputError, match="times"):
                await video.at(wrong)
        found: list[Any] = [None] * 4

        async def get(number: int) -> None:
            found[number] = await video[number * 30 : number * 30 + 9]

        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(get, number)
        assert all(
            np.array_equal(one, whole[number * 30 : number * 30 + 9]) for number, one in enumerate(found)
        )


def test_invalid_times_and_too_many_times_are_refused(
    tmp_path: Path, files: dict[str, tuple[bytes, np.ndarray]]
) -> None:
    data, whole = files["plain"]
    file = tmp_path / "x.mp4"
    file.write_bytes(data)

    async def get(times: np.ndarray, at: Any) -> np.ndarray:
        video = await anyio.to_thread.run_sync(on_disk, file)
        video.times = times
        return await video.at(at)

    times = np.arange(COUNT + 20) / 10
    times[5] = np.nan
    assert np.array_equal(anyio.run(get, times, [0.3, 0.56, 14.9]), whole[[3, 6, 149]])
    with pytest.raises(InputError):
        anyio.run(get, times, 15.0)  # the time of a frame that the video does not have
    with pytest.raises(InputError, match=r"from 1017849665 to 1017849679\.9 s"):
        anyio.run(get, 1017849665 + np.arange(COUNT) / 10, 0.0)
    assert np.array_equal(anyio.run(get, np.array([1.0]), [1.0]), whole[[0]])
    with pytest.raises(InputError, match="the times are empty"):
        anyio.run(get, np.array([]), [1.0])
    with pytest.raises(ALFObjectNotFound, match="no times"):
        anyio.run(get, None, [1.0])


def test_only_the_needed_blocks_are_downloaded(served: Served, options: dict[str, Any]) -> None:
    data = encoded("plain", 100, 255, (320, 240))
    assert len(data) > 15 * BLOCK_SIZE
    whole = decoded(data)
    served.put("left", data)
    with ONE(**options) as one:
        video = one.video(served.eid, "left", check_hash=False)
        assert np.array_equal(video[60:64], whole[60:64])
        reader = video._raw._reader.origin
        assert reader.bytes_received < len(data) * 0.6
        before = reader.bytes_received
        assert np.array_equal(video[61], whole[61])  # from the cached blocks
        assert reader.bytes_received == before


@pytest.mark.parametrize(
    "key",
    [COUNT, -COUNT - 1, [0, COUNT], 1.0, [1.0], "x", None, True, {1}, [[1]], [True], (0, 0), slice(0.0, 1.0), slice(0, 9, 0)],
    ids=repr,
)  # fmt: skip
def test_frame_numbers_outside_the_video_are_refused(
    tmp_path: Path, files: dict[str, tuple[bytes, np.ndarray]], key: Any
) -> None:
    file = tmp_path / "x.mp4"
    file.write_bytes(files["plain"][0])
    with pytest.raises(InputError, match="frames="):
        read(file, key)


def test_videos_that_cannot_be_opened_raise(
    served: Served, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ONE(**options) as one:
        with pytest.raises(ALFObjectNotFound, match="it has body, left, right"):
            one.video(served.eid, "top")
        with pytest.raises(InputError, match="pixels"):
            one.video(served.eid, "left", "bgr")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="camera"):
            one.video(served.eid, 1)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="eid"):
            one.video([served.eid, served.eid], "left")  # type: ignore[arg-type]
        with pytest.raises(ALFObjectNotFound):
            one.video("00000000-0000-0000-0000-000000000001", "left")
        monkeypatch.setitem(sys.modules, "av", None)
        served.emulator.requests.reset()
        with pytest.raises(ConfigurationError, match=r"one-async\[video\]"):
            one.video(served.eid, "left")
        assert served.emulator.requests.count() == 0


@pytest.mark.parametrize("fault", [{"cut": True}, {"drop": True}, {"status": 503}, {"truncate": 9}])
def test_a_fault_is_retried(served: Served, options: dict[str, Any], fault: dict[str, Any]) -> None:
    with ONE(**options) as one:
        rule = served.emulator.faults.add(served.path("left"), times=1, **fault)
        video = one.video(served.eid, "left", check_hash=False)
        assert np.array_equal(video[50], decoded(served.data)[50])
        assert rule.hits == 1


@pytest.mark.anyio
async def test_a_read_from_a_stopped_server_raises(served: Served, options: dict[str, Any]) -> None:
    async with AsyncONE(**options) as one:
        video = await one.video(served.eid, "left", check_hash=False)
        reader = video._reader
        reader.origin.policy = type(reader.origin.policy)(retries=1, pause=0.01)  # type: ignore[union-attr]
        reader._kept.clear()
        served.emulator.faults.add(served.path("left"), times=None, drop=True)
        with pytest.raises(ServerUnreachable, match=r"left camera, chunk 0 \(bytes 0 to "):
            await video[50]
        served.emulator.faults.clear()
        assert np.array_equal(await video[50], decoded(served.data)[50])


@pytest.mark.parametrize("damage", ["cut short", "text", "no index", "bytes"])
def test_damaged_videos_raise_file_damaged(
    tmp_path: Path, files: dict[str, tuple[bytes, np.ndarray]], damage: str
) -> None:
    data, whole = files["plain"]
    middle = data.index(b"mdat") + 2000
    made = {
        "cut short": data[:-500],
        "text": b"no video " * 500,
        "no index": data.replace(b"moov", b"xxxx"),
        "bytes": data[:middle] + bytes(5000) + data[middle + 5000 :],
    }
    file = tmp_path / "x.mp4"
    file.write_bytes(made[damage])
    with pytest.raises(FileDamaged, match="a camera") as caught:
        read(file, slice(None))
    if damage == "bytes":
        assert "frame " in str(caught.value)
        assert np.array_equal(read(file, slice(-20, None))[0], whole[-20:])


@pytest.mark.anyio
async def test_a_read_can_be_cancelled(served: Served, options: dict[str, Any]) -> None:
    async with AsyncONE(**options) as one:
        video = await one.video(served.eid, "left", check_hash=False)
        video._reader._kept.clear()
        served.emulator.faults.add(served.path("left"), times=None, delay=0.2)
        with anyio.move_on_after(0.05) as scope:
            await video[50]
        assert scope.cancelled_caught
        served.emulator.faults.clear()
        assert np.array_equal(await video[50], decoded(served.data)[50])


@pytest.mark.anyio
async def test_closing_the_client_ends_a_read(served: Served, options: dict[str, Any]) -> None:
    one = AsyncONE(**options)
    video = await one.video(served.eid, "left", check_hash=False)
    video._reader._kept.clear()
    served.emulator.faults.add(served.path("left"), times=None, delay=5)
    async with anyio.create_task_group() as tasks:

        async def close() -> None:
            await anyio.sleep(0.2)  # the read takes 5 s
            await one.aclose()

        tasks.start_soon(close)
        with pytest.raises(OneError, match="closed"):
            await video[50]


def test_no_thread_of_the_decoder_is_left(tmp_path: Path, files: dict[str, tuple[bytes, np.ndarray]]) -> None:
    """FFmpeg's threads have names that begin with ``av:``."""
    file = tmp_path / "x.mp4"
    file.write_bytes(files["plain"][0])
    if not Path("/proc/self/task").exists():
        pytest.skip("threads are not counted here")
    with av.open(str(file)) as container:
        container.streams.video[0].thread_type = "AUTO"
        next(container.decode(video=0))
        assert decoder_threads()  # so that threads have their names
    read(file, slice(None))
    gc.collect()
    assert not decoder_threads()


def decoder_threads() -> list[str]:
    names = []
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # the decoder has been closed
            names.append((thread / "comm").read_text())
    return [name for name in names if name.startswith("av:")]
