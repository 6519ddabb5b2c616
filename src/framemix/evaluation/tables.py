"""The papers' tables in Markdown, our figures beside theirs."""

from collections.abc import Mapping
from dataclasses import dataclass

# Paper A, table 1: val accuracy in %, epochs, minutes an epoch on one Quadro RTX 8000.
PAPER_TABLE_1 = {"vivit": (77.81, 30, "21-23"), "nonlocal": (71.48, 150, "12-13")}
NAMES = {"vivit": "ViViT", "nonlocal": "Non-local"}


@dataclass(frozen=True)
class TrainedRow:
    """A trained model in table 1: top-1 as a fraction, minutes an epoch."""

    top1: float
    epochs: int
    minutes: float
    parameters: int
    device: str


def table1(rows: Mapping[str, TrainedRow], val_clips: int, leak_share: float | None) -> str:
    """Return paper A's table 1 with our rows, and how far the split lets val leak into train."""
    better = max(rows, key=lambda name: rows[name].top1)
    leak = "no val clip has" if not leak_share else f"{leak_share:.1%} of the val clips have"
    lines = [
        "# Table 1: pretraining on UCF101",
        "",
        "| model | val top-1, % | paper | epochs | paper | minutes an epoch | paper | parameters |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(name, row) for name, row in rows.items()),
        "",
        f"Better here: {NAMES[better]}, on {val_clips} val clips; {leak} a sibling of the same "
        f"group in train. The paper's split is random (95 % of its val clips have one). Its "
        f"minutes are of one Quadro RTX 8000, ours of: "
        f"{', '.join(sorted({row.device for row in rows.values()}))}.",
    ]
    return "\n".join(lines) + "\n"


def _line(name: str, row: TrainedRow) -> str:
    accuracy, epochs, minutes = PAPER_TABLE_1[name]
    return (
        f"| {NAMES[name]} | {100 * row.top1:.2f} | {accuracy} | {row.epochs} | {epochs} "
        f"| {row.minutes:.2f} | {minutes} | {row.parameters:,} |"
    )
