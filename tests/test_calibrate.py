"""`framemix calibrate`: what users may rely on in a calibrated model and in what is reported."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import framemix
from framemix.calibration.clips import LabelledClip
from framemix.calibration.fit import Fitting
from framemix.calibration.threshold import FalseAlarms, best_threshold, false_alarms, smoothed
from framemix.cli import app
from framemix.errors import FramemixError
from framemix.explain.explanation import explain_clip
from framemix.inference.alarm import HALF_LIFE, HELD, Alarm, usual_alarm
from framemix.inference.baseline import Baseline, log_odds_of, usual_log_odds
from framemix.inference.clips import Sliding
from framemix.inference.live import LivePrediction
from framemix.inference.loading import load_classifier
from framemix.metrics.intervals import poisson
from framemix.metrics.temperature import (
    COLDEST,
    HOTTEST,
    fitted_temperature,
    mean_nll,
    tempered,
)
from framemix.models import TrainedModel, load_model
from framemix.models.calibration import Calibration
from tests.tiny_model import record, write_model, write_video

CLASSES = ("alert", "low_vigilant", "drowsy")
FOUND = Calibration(temperature=2.5, alarm="drowsy", on=0.3, usual=-1.0)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, videos of two people, and a list of them."""
    folder = tmp_path_factory.mktemp("calibrate")
    write_model(folder / "model.safetensors", classes=CLASSES, trained_on=record(2.0))
    write_list(folder / "clips.csv", [("alert", 60), ("drowsy", 60), ("alert", 45), ("drowsy", 50)])
    return folder


def write_list(path: Path, clips: Sequence[tuple[str, int]]) -> None:
    """Write videos of so many frames, and a list of them; two in turn are of one person."""
    lines = ["path,label,group"]
    for number, (label, frames) in enumerate(clips):
        write_video(path.parent / f"{number}.mp4", frames=frames, seed=number)
        lines.append(f"{number}.mp4,{label},p{number // 2}")
    path.write_text("\n".join(lines) + "\n")


def calibrated(here: Path, target: Path, *arguments: object, clips: object = "clips.csv") -> Result:
    command = ["calibrate", here / "model.safetensors", here / str(clips), "--output", target]
    return run(*command, "--false-alarms", 1e6, *arguments)


# The command


def test_the_new_file_carries_what_was_found_and_the_old_one_stays(
    here: Path, tmp_path: Path
) -> None:
    before = (here / "model.safetensors").read_bytes()
    done = calibrated(here, tmp_path / "new.safetensors")
    assert done.exit_code == 0, (done.output, done.exception)
    found = load_model(tmp_path / "new.safetensors").calibration
    assert found is not None
    assert found.alarm == "drowsy"
    assert f"temperature {found.temperature:.3g}: NLL " in done.stdout
    assert f"from a smoothed {found.on:.3f} until below {HELD * found.on:.3f}" in done.stdout
    assert "4 clips of 2 groups" in done.stdout
    assert "sensitivity: 100.0% of 2 clips of drowsy (" in done.stdout
    assert str(tmp_path / "new.safetensors") in done.stdout
    assert (here / "model.safetensors").read_bytes() == before


def test_without_a_name_the_new_file_is_beside_the_model(here: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "m.safetensors", classes=CLASSES, trained_on=record(2.0))
    done = run("calibrate", tmp_path / "m.safetensors", here / "clips.csv", "--false-alarms", 1e6)
    assert done.exit_code == 0, (done.output, done.exception)
    assert load_model(tmp_path / "m-calibrated.safetensors").calibration is not None


def test_calibrating_again_gives_the_same_bytes(here: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert calibrated(here, first).exit_code == 0
    again = run("calibrate", first, here / "clips.csv", "-o", second, "--false-alarms", 1e6)
    assert again.exit_code == 0
    assert first.read_bytes() == second.read_bytes()


def test_a_stretch_is_a_clip_of_the_windows_within_it(here: Path, tmp_path: Path) -> None:
    rows = ["0.mp4,alert,a,0,3", "0.mp4,drowsy,b,3,", "2.mp4,alert,c,,"]
    list_ = here / "stretches.csv"
    list_.write_text("\n".join(["path,label,group,start,end", *rows]))
    done = calibrated(here, tmp_path / "new.safetensors", clips=list_.name)
    assert done.exit_code == 0, (done.output, done.exception)
    # Windows of 2 s end at 2, 3, ... of 6 and of 4.5 s.
    assert done.stdout.startswith("3 clips of 3 groups, 7 windows of 2 s, 1 s apart")


def test_a_file_that_cannot_be_read_is_one_line_and_the_rest_is_used(
    here: Path, tmp_path: Path
) -> None:
    (here / "broken.mp4").write_text("no video")
    text = (here / "clips.csv").read_text()
    list_ = here / "some.csv"
    list_.write_text(f"{text}broken.mp4,alert,p3\nmissing.mp4,drowsy,p4\n")
    done = calibrated(here, tmp_path / "new.safetensors", clips=list_.name)
    assert done.exit_code == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert any("broken.mp4: " in error for error in errors)
    assert any("missing.mp4: " in error for error in errors)
    assert done.stdout.startswith("4 clips of 2 groups")
    assert load_model(tmp_path / "new.safetensors").calibration is not None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("0.mp4,alert", "1.mp4,asleep"), "labels asleep; allowed: the model's classes, alert, "),
        (("0.mp4,alert",), "usable clips of alert; allowed: some of drowsy"),
        (("1.mp4,drowsy",), "usable clips of drowsy; allowed: some of drowsy, and some of alert"),
        (("1.mp4,drowsy", "0.mp4,low_vigilant"), "and some of alert to count false alarms in"),
        (("1.mp4,drowsy", "none.mp4,alert"), "and some of alert to count false alarms in"),
    ],
)
def test_clips_that_cannot_calibrate_are_one_line(
    rows: Sequence[str], message: str, here: Path, tmp_path: Path
) -> None:
    list_ = here / "bad.csv"
    list_.write_text("\n".join(["path,label", *rows]))
    done = calibrated(here, tmp_path / "new.safetensors", clips=list_.name)
    assert done.exit_code == 1
    assert str(done.exception).startswith(f"CLIPS = {list_}: ")
    assert message in str(done.exception)
    assert not (tmp_path / "new.safetensors").exists()


def test_alert_video_too_short_for_a_window_is_no_time_to_count_in(
    here: Path, tmp_path: Path
) -> None:
    list_ = here / "short.csv"
    list_.write_text("path,label,start,end\n0.mp4,alert,0,1\n1.mp4,drowsy,,\n")
    done = calibrated(here, tmp_path / "new.safetensors", clips=list_.name)
    assert done.exit_code == 1
    assert "0.mp4: no window of 2 s lies between 0 s and 1 s" in done.stderr
    assert "usable clips of drowsy; allowed" in str(done.exception)


def test_too_few_false_alarms_to_find_anyone_is_a_warning(here: Path, tmp_path: Path) -> None:
    list_ = here / "same.csv"  # the drowsy clip is the alert one
    list_.write_text("path,label,start,end\n0.mp4,alert,,\n0.mp4,drowsy,0,6\n")
    done = calibrated(here, tmp_path / "new.safetensors", "--false-alarms", 0, clips=list_.name)
    assert done.exit_code == 0
    assert "warning: 0 false alarms per hour are too few to find any drowsy" in done.stderr
    assert "sensitivity: 0.0% of 1 clips of drowsy" in done.stdout
    assert "false alarms in alert: 0 per hour" in done.stdout


def test_a_model_without_drowsiness_needs_the_name_of_a_class(here: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "m.safetensors", classes=("a", "b", "c"))
    done = run("calibrate", tmp_path / "m.safetensors", here / "clips.csv")
    assert str(done.exception) == "--alarm: none given; allowed: one of a, b, c"


def test_an_onnx_file_is_refused(here: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    target = tmp_path / "new.safetensors"
    done = run("calibrate", tmp_path / "model.onnx", here / "clips.csv", "-o", target)
    assert "an ONNX file; allowed: model.safetensors" in str(done.exception)


# The file


def with_calibration(path: Path, calibration: Calibration | None = FOUND) -> TrainedModel:
    """Write a model with a calibration; return it as it is read."""
    write_model(path, classes=CLASSES, trained_on=record(2.0), calibration=calibration)
    return load_model(path)


def test_every_way_to_ask_uses_the_temperature(here: Path, tmp_path: Path) -> None:
    plain = framemix.load(here / "model.safetensors").predict(here / "0.mp4").probabilities
    with_calibration(tmp_path / "new.safetensors")
    said = framemix.load(tmp_path / "new.safetensors").predict(here / "0.mp4").probabilities
    log_p = np.log([[plain[name] for name in CLASSES]])
    expected = dict(zip(CLASSES, tempered(log_p, FOUND.temperature)[0], strict=True))
    assert said == pytest.approx(expected, abs=1e-5)
    done = run("predict", tmp_path / "new.safetensors", here / "0.mp4", "--json", "--window", 6)
    (shown,) = json.loads(done.stdout)[0]["predictions"]
    assert shown["classes"] == pytest.approx(expected, abs=1e-5)


def test_an_explanation_has_the_probability_of_the_prediction(tmp_path: Path) -> None:
    model = with_calibration(tmp_path / "new.safetensors")
    classifier = load_classifier(tmp_path / "new.safetensors", "cpu")
    shape = (classifier.mix.segments, *classifier.mix.frame_shape)
    clip = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    probability = classifier.probabilities(clip[None])[0, 2]
    assert explain_clip(model, clip, "drowsy").probability == pytest.approx(probability, abs=1e-6)


def test_a_model_that_was_not_calibrated_is_the_file_that_it_was(tmp_path: Path) -> None:
    with_calibration(tmp_path / "new.safetensors", None)
    assert b"calibration" not in (tmp_path / "new.safetensors").read_bytes()
    assert load_model(tmp_path / "new.safetensors").temperature == 1.0


def test_an_alarm_for_a_class_that_the_model_lacks_is_refused(tmp_path: Path) -> None:
    wrong = FOUND.model_copy(update={"alarm": "asleep"})
    with pytest.raises(FramemixError, match=r"calibration\.alarm = 'asleep': allowed: alert"):
        with_calibration(tmp_path / "new.safetensors", wrong)


# Watching


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The probabilities of drowsy that a source has, each a second after the last."""
    levels: list[float] = []

    def windows(*_: Any, **__: Any) -> Iterator[LivePrediction]:
        for second, p in enumerate(levels, 2):
            yield LivePrediction(second, np.array([1 - p, 0, p], np.float32), 0.0, skipped=0)

    monkeypatch.setattr("framemix.inference.live.watch", windows)
    return levels


def watched(folder: Path, *arguments: object) -> list[dict[str, Any]]:
    command = ("watch", folder / "new.safetensors", "/dev/video0", "--json", "--half-life", 0)
    done = run(*command, *arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_watch_starts_the_alarm_where_calibration_found(drive: list[float], tmp_path: Path) -> None:
    drive += [0.2, 0.31, 0.2, 0.16]
    with_calibration(tmp_path / "new.safetensors")
    assert [one["alarm"] for one in watched(tmp_path)] == [False, True, True, False]
    assert not any(one["alarm"] for one in watched(tmp_path, "--on", 0.7, "--off", 0.4))
    assert [one["alarm"] for one in watched(tmp_path, "--off", 0.25)][1:] == [True, False, False]
    with_calibration(tmp_path / "new.safetensors", None)
    assert not any(one["alarm"] for one in watched(tmp_path))


def test_the_operating_point_is_that_of_its_class() -> None:
    how: dict[str, Any] = {"on": None, "off": None, "half_life": HALF_LIFE}
    assert usual_alarm(FOUND, "drowsy", **how).on == FOUND.on
    for other in (usual_alarm(FOUND, "alert", **how), usual_alarm(None, "drowsy", **how)):
        assert (other.on, other.off) == pytest.approx((0.7, 0.4))


def test_a_baseline_silences_the_alarm_and_then_lowers_it(
    drive: list[float], tmp_path: Path
) -> None:
    drive += [0.6, 0.6, 0.9, 0.6, 0.95]
    with_calibration(tmp_path / "new.safetensors")
    assert all(one["alarm"] for one in watched(tmp_path))
    *lasting, alert, drowsy = watched(tmp_path, "--baseline", 4)
    assert [(one["alarm"], one["smoothed"]) for one in lasting] == [(None, None)] * 3
    # The driver's own 0.6 becomes the usual probability.
    assert alert["smoothed"] == pytest.approx(1 / (1 + np.exp(1.0)), abs=1e-4)
    assert not alert["alarm"]
    assert drowsy["alarm"]


def test_a_baseline_that_is_lower_than_usual_changes_nothing(
    drive: list[float], tmp_path: Path
) -> None:
    drive += [0.01, 0.01, 0.01, 0.2, 0.4]
    with_calibration(tmp_path / "new.safetensors")
    *_, one, other = watched(tmp_path, "--baseline", 4)
    assert (one["smoothed"], other["smoothed"]) == pytest.approx((0.2, 0.4), abs=1e-6)


def test_a_video_of_the_alert_driver_is_a_baseline_too(
    drive: list[float], here: Path, tmp_path: Path
) -> None:
    drive += [0.9, 0.9]
    with_calibration(tmp_path / "new.safetensors", FOUND.model_copy(update={"usual": -9.0}))
    model = framemix.load(tmp_path / "new.safetensors")
    seen = [said.probabilities["drowsy"] for said in model.windows(here / "0.mp4")]
    one, _ = watched(tmp_path, "--baseline", here / "0.mp4")
    shift = usual_log_odds(seen) + 9.0
    assert log_odds_of(one["smoothed"]) == pytest.approx(log_odds_of(0.9) - shift, abs=1e-2)


def test_a_source_that_ends_within_its_baseline_is_noted(
    drive: list[float], tmp_path: Path
) -> None:
    drive += [0.9]
    with_calibration(tmp_path / "new.safetensors")
    done = run("watch", tmp_path / "new.safetensors", "/dev/video0", "--baseline", 60)
    assert done.exit_code == 0
    assert "baseline was not over" in done.stderr


@pytest.mark.parametrize("baseline", ["1", "-5", "nan", "inf", "1e9"])
def test_a_baseline_of_no_window_or_no_end_is_one_line(baseline: str, tmp_path: Path) -> None:
    with_calibration(tmp_path / "new.safetensors")
    done = run("watch", tmp_path / "new.safetensors", "/dev/video0", "--baseline", baseline)
    assert done.exit_code == 1
    assert str(done.exception).startswith(f"--baseline {baseline}: allowed: 2 (a window) to 3600")


def test_a_baseline_needs_a_model_that_is_calibrated_for_the_class(tmp_path: Path) -> None:
    with_calibration(tmp_path / "new.safetensors")
    command = ("watch", tmp_path / "new.safetensors", "/dev/video0", "--baseline", 60)
    done = run(*command, "--alarm", "alert")
    assert "new.safetensors is not calibrated for alert; allowed" in str(done.exception)
    with_calibration(tmp_path / "new.safetensors", None)
    assert "is not calibrated for drowsy; allowed" in str(run(*command).exception)


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0, 1), st.floats(-5, 5))
def test_a_baseline_never_raises_a_probability(seen: list[float], p: float, usual: float) -> None:
    adjusted = Baseline(usual, seen=seen).adjusted(p, 1.0)
    assert adjusted is not None
    assert 0 <= adjusted <= p * (1 + 1e-9)


# Arithmetic


# Garwood 1936: exact limits, as tables of the chi-square distribution have them.
@pytest.mark.parametrize(
    ("events", "low", "high"),
    [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (3, 0.6187, 8.7673), (10, 4.7954, 18.3904)],
)
def test_poisson_gives_the_published_intervals(events: int, low: float, high: float) -> None:
    assert poisson(events) == pytest.approx((low, high), abs=5e-5)


def test_poisson_holds_for_many_events() -> None:
    # Wilson and Hilferty's approximation of the chi-square distribution.
    assert poisson(1000) == pytest.approx((938.97, 1063.97), abs=0.05)


def test_a_temperature_that_made_logits_too_sure_is_found_again() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (20_000, 3))
    drawn = (tempered(logits, 1.0).cumsum(1) > rng.random((20_000, 1))).argmax(1)
    assert fitted_temperature(3 * logits, drawn) == pytest.approx(3.0, abs=0.1)
    # Probabilities are enough: their logarithms differ from logits by a constant in each row.
    log_p = np.log(tempered(3 * logits, 1.0))
    assert fitted_temperature(log_p, drawn) == pytest.approx(fitted_temperature(3 * logits, drawn))


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_no_other_temperature_has_a_lower_nll(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 2, (20, 3)), rng.integers(0, 3, 20)
    best = mean_nll(tempered(logits, fitted_temperature(logits, labels)), labels)
    for other in np.geomspace(COLDEST, HOTTEST, 40):
        assert best <= mean_nll(tempered(logits, other), labels) + 1e-9


def test_windows_that_are_all_right_or_all_wrong_leave_a_temperature_within_its_limits() -> None:
    logits = np.array([[4.0, 0.0], [0.0, 4.0]])
    assert fitted_temperature(logits, np.array([0, 1])) == pytest.approx(COLDEST)
    assert fitted_temperature(logits, np.array([1, 0])) == pytest.approx(HOTTEST)


# What a false alarm is


def test_false_alarms_are_counted_as_watch_raises_them() -> None:
    rng = np.random.default_rng(1)
    p, ends = rng.random(500), np.arange(500) * 1.0
    bell, started = Alarm(0.55, HELD * 0.55, HALF_LIFE), 0
    for probability, seconds in zip(p, ends, strict=True):
        bell.update(probability, seconds)
        started += bell.changed and bell.active
    counted = false_alarms([smoothed(p, ends)], 0.55, 1.0)
    assert started > 5
    assert counted.alarms == started


def test_an_alarm_that_never_ends_is_not_one_in_an_hour() -> None:
    always = false_alarms([np.ones(3600)], 0.5, 1.0)
    assert always == FalseAlarms(1, 1 / 3600)
    assert always.per_hour == 3600


def test_each_video_begins_without_an_alarm() -> None:
    assert false_alarms([np.ones(10), np.ones(10)], 0.5, 1.0).alarms == 2


def levels(*values: float) -> np.ndarray:
    return np.array(values)


def test_the_threshold_finds_most_within_the_limit_and_keeps_away_from_both() -> None:
    positive = [levels(0.1, 0.9), levels(0.2, 0.7), levels(0.4, 0.3)]
    negative = [levels(0.1, 0.3, 0.1, 0.3), levels(0.1, 0.5, 0.1, 0.1)]
    halfway = (log_odds_of(0.5) + log_odds_of(0.7)) / 2
    assert log_odds_of(best_threshold(positive, negative, 0, 1.0)) == pytest.approx(halfway)
    halfway = (log_odds_of(0.3) + log_odds_of(0.4)) / 2
    most = 3600 / 7  # one, in seven seconds of eight
    assert log_odds_of(best_threshold(positive, negative, most, 1.0)) == pytest.approx(halfway)


def test_a_limit_at_which_nobody_is_found_is_kept_all_the_same() -> None:
    on = best_threshold([levels(0.2)], [levels(0.1, 0.5)], 0, 1.0)
    assert on == pytest.approx(0.5)
    assert on > 0.5


@given(st.lists(st.lists(st.floats(0, 0.999), min_size=1, max_size=20), min_size=2, max_size=6))
@settings(deadline=None, max_examples=50)
def test_no_threshold_has_more_false_alarms_than_allowed(clips: list[list[float]]) -> None:
    positive, *negative = map(np.array, clips)
    on = best_threshold([positive], negative, 400, 1.0)
    assert false_alarms(negative, on, 1.0).per_hour <= 400


def test_a_threshold_below_which_all_alarms_merge_into_one_is_not_chosen() -> None:
    positive = [levels(0.9), levels(0.05)]
    negative = [np.tile([0.1, 0.8, 0.1], 1200)]  # at 0.05 it never ends
    assert 0.8 < best_threshold(positive, negative, 6, 1.0) < 0.9


def test_low_vigilance_is_neither_found_nor_a_false_alarm() -> None:
    def clip(label: str, p: float) -> LabelledClip:
        shares = np.array([[0.5 - p / 2, 0.5 - p / 2, p]] * 4)
        return LabelledClip(label, label, np.arange(4.0), np.log(shares))

    clips = [clip("alert", 0.1), clip("drowsy", 0.8), clip("low_vigilant", 0.99)]
    fitting = Fitting(clips, CLASSES, "drowsy", Sliding(5.0, 1.0))
    calibration = fitting.fit(0)
    evaluated = fitting.at_threshold(calibration)
    assert (evaluated.false_alarms.alarms, evaluated.false_alarms.hours) == (0, 4 / 3600)
    assert (evaluated.sensitivity.value, evaluated.sensitivity.clips) == (1.0, 1)
