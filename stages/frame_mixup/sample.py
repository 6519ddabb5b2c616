"""Renders the study's short and long videos, whose classes are each other's time reversal."""

from framemix.datasets.sample.arrow import render_arrow
from framemix.project.params import load_params
from framemix.project.paths import STUDY_SAMPLE
from framemix.project.stage import run_stage


def main() -> None:
    params = load_params()
    for name, settings in params.frame_mixup.sample:
        render_arrow(STUDY_SAMPLE / name, settings, params.runtime.cluster)


if __name__ == "__main__":
    run_stage(main)
