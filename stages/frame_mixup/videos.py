"""Lists the study's labelled videos, short and long, and checks that they can be decoded."""

from framemix.datasets.clips import Clip
from framemix.datasets.intake import list_clips
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.registry import LABELLED
from framemix.datasets.origin import origin_of
from framemix.datasets.splits import require_sides, split_the_rest
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import STUDY_ORIGINS, STUDY_VIDEOS
from framemix.project.stage import require_data, run_stage
from framemix.tables import write_json, write_table


def main() -> None:
    params = load_params()
    study = params.frame_mixup
    cells = {"short": study.cells, "long": study.long_cells}
    for name, root in study.data:
        key = f"frame_mixup.data.{name}"
        require_data(root, key)
        listed = list_clips(
            find_videos(LABELLED, root, key),
            root,
            study.videos,
            params.runtime.execution(f"frame_mixup_videos@{name}"),
            keys=(key, "frame_mixup.videos"),
            label=f"list {name} videos",
        )
        rows = split_the_rest(listed, study.videos.folds)
        if cells[name]:  # otherwise nothing is trained on them
            require_sides(rows, f"{key} = {root}")
        STUDY_VIDEOS[name].parent.mkdir(parents=True, exist_ok=True)
        write_table(STUDY_VIDEOS[name], Clip, rows)
        write_json(STUDY_ORIGINS[name], origin_of(root).model_dump())
        kept = sum(row.kept for row in rows)
        print_text(
            f"{name}: kept {kept} videos, rejected {len(rows) - kept} (see {STUDY_VIDEOS[name]})"
        )


if __name__ == "__main__":
    run_stage(main)
