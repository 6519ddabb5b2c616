"""The paths that stages and commands read and write; no other module knows these folders."""

from pathlib import Path

SAMPLE = Path("data/sample")
STORES = Path("data/mixed")
DVC_CACHE, PROFILES, PIPELINES = Path(".dvc/cache"), Path("profiles"), Path("pipelines")
LOGS = Path("logs")
VIDEOS = Path("data/ucf101/videos.csv")
UCF101_ORIGIN = Path("data/ucf101/dataset.json")
UCF101_SPLIT = Path("data/ucf101/split.csv")
UCF101_SPLIT_STATISTICS = Path("data/ucf101/split.json")
RLDD_CLIPS = Path("data/rldd/clips")
RLDD_TABLE = Path("data/rldd/clips.csv")
RLDD_ORIGIN = Path("data/rldd/dataset.json")
RLDD_SPLIT = Path("data/rldd/split.csv")
MIXED = {"ucf101": Path("data/mixed/ucf101"), "rldd": Path("data/mixed/rldd")}
MODELS = {"vivit": Path("models/vivit"), "nonlocal": Path("models/nonlocal")}
PRETRAINED_VIVIT = MODELS["vivit"] / "model.safetensors"  # what is fine-tuned, by default
FINETUNED = Path("models/finetuned")
REPORTS = Path("reports")
METRICS_FILE, ESTIMATES, DRIVERS = (
    REPORTS / name for name in ("metrics.json", "estimates.csv", "drivers.csv")
)
STUDY_SAMPLE = Path("data/sample/arrow")
STUDY_VIDEOS = {name: Path(f"data/frame_mixup/{name}.csv") for name in ("short", "long")}
STUDY_ORIGINS = {name: Path(f"data/frame_mixup/{name}.json") for name in ("short", "long")}
STUDY_MIXED = Path("data/mixed/frame_mixup")
STUDY_MODELS = Path("models/frame_mixup")
YOUR_TABLE = Path("data/your_videos/videos.csv")
YOUR_ORIGIN = Path("data/your_videos/dataset.json")
YOUR_SPLIT = Path("data/your_videos/split.csv")
YOUR_MIXED = Path("data/mixed/your_videos")
YOUR_MODEL = Path("models/your_videos")
YOUR_REPORTS = Path("reports/your_videos")
YOUR_METRICS = Path("reports/your_videos.json")
