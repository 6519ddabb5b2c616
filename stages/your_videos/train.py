"""Trains the chosen network on users' own clips."""

from framemix.datasets.clips import Clip
from framemix.datasets.origin import read_origin
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import YOUR_MIXED, YOUR_MODEL, YOUR_ORIGIN, YOUR_SPLIT
from framemix.project.stage import run_stage
from framemix.store import MixedStore
from framemix.tables import read_table


def main() -> None:
    params = load_params()
    yours = params.your_videos
    # Imported here, because it takes seconds: a wrong setting is reported before.
    from framemix.your_videos.train import train
    from stages.machine import machine_for

    metrics = train(
        MixedStore(YOUR_MIXED),
        read_table(YOUR_SPLIT, Clip),
        yours.train,
        origin=read_origin(YOUR_ORIGIN),
        target=YOUR_MODEL,
        machine=machine_for("your_videos_train", params.runtime),
        views=yours.evaluate.views,
    )
    print_text(f"{YOUR_MODEL}: top-1 {metrics['top1']:.1%} of the val clips")


if __name__ == "__main__":
    run_stage(main)
