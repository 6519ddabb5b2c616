"""Lists the study's labelled videos and checks that they can be decoded: short and long ones."""

from framemix.datasets.records import LabelledVideo
from framemix.datasets.something_something import label_videos
from framemix.jobs.scratch import scratch_root
from framemix.jobs.terminal import say
from framemix.project.params import load_params
from framemix.project.stage import run_stage
from framemix.tables import write_table
from stages.paths import STUDY_VIDEOS


def main() -> None:
    params = load_params()
    study = params.frame_mixup
    for name, root in study.data:
        rows = label_videos(
            root,
            study.videos,
            scratch=scratch_root(params.runtime.scratch) / f"frame_mixup_videos@{name}",
            cluster=params.runtime.cluster,
            limits=params.runtime.limits,
        )
        STUDY_VIDEOS[name].parent.mkdir(parents=True, exist_ok=True)
        write_table(STUDY_VIDEOS[name], LabelledVideo, rows)
        kept = sum(row.kept for row in rows)
        say(f"{name}: kept {kept} videos, rejected {len(rows) - kept} (see {STUDY_VIDEOS[name]})")


if __name__ == "__main__":
    run_stage(main)
