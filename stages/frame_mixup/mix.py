"""Mixes the study's videos for a cell: `python -m stages.frame_mixup.mix short linear-all`."""

from framemix.datasets.clips import Clip, class_labels
from framemix.datasets.reversals import partners
from framemix.frame_mixup.cells import mix_settings
from framemix.frame_mixup.classes import require_pairs, with_reversals
from framemix.project.params import load_params
from framemix.project.paths import STUDY_MIXED, STUDY_VIDEOS
from framemix.project.stage import arguments, run_stage
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.tables import read_table


def main() -> None:
    params = load_params()
    study = params.frame_mixup
    cells = dict.fromkeys([*study.cells, *study.long_cells])
    videos, cell = arguments(STUDY_VIDEOS, cells)
    rows = read_table(STUDY_VIDEOS[videos], Clip)
    classes = {row.class_name for row in rows if row.class_name}
    require_pairs(study.reversed_classes, classes, f"frame_mixup.data.{videos}")
    sources = sources_of(rows, getattr(study.data, videos), class_labels(rows))
    build_store(
        with_reversals(sources, partners(study.reversed_classes)),
        STUDY_MIXED / videos / cell,
        mix_settings(cell, study.mix),
        params.runtime.execution(f"frame_mixup_mix@{videos}-{cell}"),
    )


if __name__ == "__main__":
    run_stage(main)
