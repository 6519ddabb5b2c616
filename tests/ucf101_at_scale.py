"""Makes all of UCF101 as tiny real AVI files: its names and frame counts, another picture.

`python -m tests.ucf101_at_scale FOLDER [EVERY]` writes the classes (every EVERYth) to FOLDER.
"""

import csv
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import av
import numpy as np

from framemix.video.writing import video_writer

WIDTH, HEIGHT, FPS = 32, 24, 25
DATA = Path(__file__).resolve().parents[2] / "shared/data"


def listed_videos(data: Path = DATA) -> dict[str, int]:
    """Return the decoded frames of each of the 13,320 videos by `<Class>/v_*_gNN_cNN.avi`."""
    lines = (data / "ucfTrainTestlist/classInd.txt").read_text().split("\n")
    classes = [line.split()[1] for line in lines if line.strip()]
    with (data / "ucf101_frame_counts.csv").open(newline="") as file:
        return {
            f"{classes[int(row['label0'])]}/{row['video']}.avi": int(row["decoded_est"])
            for row in csv.DictReader(file)
        }


def make_videos(root: Path, counts: dict[str, int]) -> None:
    """Write each video of `counts` below `root`: the first packets of one master."""
    root.mkdir(parents=True, exist_ok=True)
    master = root / "master.avi"
    _render(master, max(counts.values()))
    with av.open(master) as source:
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for name, count in counts.items():
            (root / name).parent.mkdir(exist_ok=True)
            _remux(root / name, source.streams.video[0], packets[:count])
    master.unlink()


def _render(path: Path, frames: int) -> None:
    """Write a soft wave that moves, a key frame every 12 frames."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    with video_writer(path, width=WIDTH, height=HEIGHT, fps=FPS, codec="xvid") as write:
        for number in range(frames):
            wave = 128 + 100 * np.sin((across + down + number) / 6)
            write(np.repeat(wave.astype(np.uint8)[..., None], 3, axis=2))


def _remux(path: Path, template: av.video.stream.VideoStream, packets: Sequence[av.Packet]) -> None:
    with av.open(path, "w") as target:
        stream = target.add_stream_from_template(template)
        for packet in packets:
            packet.stream = stream
            target.mux(packet)


if __name__ == "__main__":
    videos = listed_videos()
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    chosen = set(islice(sorted({name.split("/")[0] for name in videos}), None, None, every))
    make_videos(Path(sys.argv[1]), {n: c for n, c in videos.items() if n.split("/")[0] in chosen})
