"""Renders the sample corpus: small real video files in the layouts of UCF101 and UTA-RLDD."""

from framemix.datasets.sample import render_sample
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import SAMPLE
from framemix.project.stage import run_stage


def main() -> None:
    params = load_params()
    videos = render_sample(SAMPLE, params.sample, params.runtime.cluster)
    print_text(f"rendered {videos} videos into {SAMPLE}")


if __name__ == "__main__":
    run_stage(main)
