"""The page of the report and the models' cards, as a reader gets them."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from framemix.datasets.origin import Origin
from framemix.evaluation.findings import Findings
from framemix.evaluation.page import Table1, settings_of, write_card, write_page
from framemix.evaluation.tables import MetricRow, Table
from framemix.finetuning.data import FinetuneData
from framemix.tables import read_table
from tests.test_report import JUDGE, ROOT, data, evaluated, models, reports
from tests.tiny_report import FINETUNED, MODELS, PRETRAINED

__all__ = ["data", "models", "reports"]  # fixtures

TABLE1 = Table1(Table(["network"], [["ViViT"]]), "A note.")
VOID = {"meta", "img", "br", "link"}


class Reader(HTMLParser):
    """Reads a page: which elements it has, whether they nest, what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.sources: list[str] = []
        self.alternatives: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data"):
                self.sources.append(value or "")
            if name == "alt":
                self.alternatives.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.text += text


@pytest.fixture(scope="module", params=["index", "pretraining"])
def any_page(reports: Path, request: pytest.FixtureRequest) -> str:
    return (reports / f"{request.param}.html").read_text()


@pytest.fixture(scope="module")
def page(reports: Path) -> str:
    return (reports / "index.html").read_text()


def test_pages_nest_and_are_whole(reports: Path) -> None:
    for name, pictures in (("index", 13), ("pretraining", 6)):
        page = (reports / f"{name}.html").read_text()
        reader = Reader(page)
        assert reader.open == []
        assert page.lstrip().startswith("<!doctype html>")
        assert reader.seen.count("img") == pictures
        assert all(reader.alternatives)


def test_the_page_of_pretraining_says_nothing_of_drivers(reports: Path) -> None:
    text = Reader((reports / "pretraining.html").read_text()).text
    assert "Table 1: pretraining" in text
    for words in ("rowsy", "river", "face", "RLDD", "split.rldd", "finetune"):
        assert words not in text


def test_pages_ask_for_nothing_outside_themselves(any_page: str) -> None:
    reader = Reader(any_page)
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    without_pictures = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", any_page)
    assert not re.search(r"https?:|@import|url\(|<script|<link", without_pictures)


def test_page_suits_narrow_screens_and_the_dark(page: str) -> None:
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page


def test_page_shows_the_metrics_and_the_settings(page: str, reports: Path) -> None:
    text = Reader(page).text
    table = (reports / "table1.md").read_text().splitlines()[4].strip("|").split("|")
    for cell in table:
        assert cell.strip() in text
    for words in ("UTA-RLDD", "temporal_fc", "split.rldd", "linear", "100.0 %", "Wilson"):
        assert words in text
    assert "rendered sample" not in text


def test_page_begins_with_the_result_of_each_model_and_its_interval(
    any_page: str, reports: Path
) -> None:
    text = Reader(any_page).text
    shown = text[: text.index("Table 1")]
    rows = [row for row in read_table(reports / "estimates.csv", MetricRow) if row.metric == "top1"]
    for row in rows if "finetuned" in any_page else rows[:2]:
        assert f"{100 * row.value:.1f} % of {row.clips} val clips" in shown
        assert row.low is not None
        assert f"{100 * row.low:.1f} to" in shown
        assert "by chance" in shown


def test_page_has_the_recipe_and_the_seeds_of_each_model(any_page: str) -> None:
    reader = Reader(any_page)
    models = 3 if "finetuned" in any_page else 2
    for key in ("seeds", "learning_rate", "augment.shift", "epochs"):
        assert reader.text.count(key) >= models


def test_names_of_classes_cannot_break_the_page(
    data: FinetuneData, models: Path, reports: Path, tmp_path: Path
) -> None:
    tuned = evaluated(models, data, "finetuned")
    wild = replace(tuned.model, classes=[*tuned.model.classes[:-2], "<b>&", "drowsy"])
    for picture in reports.glob("*.png"):
        (tmp_path / picture.name).write_bytes(picture.read_bytes())
    findings = {"finetuned": Findings.of("finetuned", replace(tuned, model=wild))}
    write_page(tmp_path / "index.html", findings, TABLE1, settings_of(tuned, FINETUNED))
    page = (tmp_path / "index.html").read_text()
    assert Reader(page).open == []
    assert "&lt;b&gt;&amp;" in page


@pytest.mark.parametrize(
    "name",
    [
        "reports/index.html",
        "reports/pretraining.html",
        "finetuned/README.md",
        "vivit/README.md",
    ],
)
def test_settings_of_mixing_stand_as_in_params_yaml(name: str, models: Path, reports: Path) -> None:
    text = (reports.parent / name if name.startswith("reports") else models / name).read_text()
    shown = dict(re.findall(r"mix\.(\w+)(?: \| |</dt><dd>)(.+?)(?: \||</dd>)", text))
    mix = yaml.safe_load((ROOT / "params.yaml").read_text())["mix"]
    assert list(shown) == list(mix)
    assert shown["window"] == "{frames: 40, at: start}"
    assert shown["size"] == "[16, 24]"
    assert shown["frames_per_segment"] == "all"


@pytest.mark.parametrize("name", [*MODELS, "finetuned"])
def test_card_has_data_metrics_and_limits(name: str, models: Path, reports: Path) -> None:
    card = (models / name / "README.md").read_text()
    assert card.startswith("# ")
    for words in (
        "UCF-101",
        "split.strategy | random",
        "evaluate.views | 2",
        "leak share | 100.0 %",
        "mix.method",
        "top-1",
    ):
        assert words in card, words
    assert re.search(r"top-1, % \| [\d.]+ \| [\d.]+ to [\d.]+", card)
    assert ("Not a safety device" in card) == (name == "finetuned")
    assert ("subjects' own" in card) == (name == "finetuned")
    assert "rendered sample" not in card
    assert "{{" not in card
    assert max(len(line) for line in card.splitlines() if not line.startswith("|")) <= 130


@pytest.mark.parametrize(
    ("drawn", "of_sample", "of_start"),
    [
        ((False, False), (False, False), False),
        ((False, True), (False, True), False),
        ((True, False), (True, False), True),
        ((True, True), (True, True), False),
    ],
)
def test_each_model_says_whether_its_own_videos_are_drawn(
    drawn: tuple[bool, bool],
    of_sample: tuple[bool, bool],
    of_start: bool,
    data: FinetuneData,
    models: Path,
    reports: Path,
    tmp_path: Path,
) -> None:
    evaluations = {name: evaluated(models, data, name) for name in (*MODELS, "finetuned")}
    of_actions, of_drivers = (
        Origin(name=name, drawn=d) for name, d in zip("ab", drawn, strict=True)
    )
    first = evaluations["vivit"].model.trained_on
    tuned = evaluations["finetuned"].model.trained_on
    assert first is not None
    assert tuned is not None
    first = first.model_copy(update={"videos": (of_actions,)})
    tuned = tuned.model_copy(update={"videos": (of_drivers,), "start": first})
    cards = []
    for name, record, how in (("vivit", first, PRETRAINED), ("finetuned", tuned, FINETUNED)):
        model = replace(evaluations[name].model, trained_on=record)
        evaluations[name] = replace(evaluations[name], model=model)
        write_card(name, evaluations[name], how, tmp_path / "README.md")
        cards.append((tmp_path / "README.md").read_text())
    for picture in reports.glob("*.png"):
        (tmp_path / picture.name).hardlink_to(picture)
    findings = {name: Findings.of(name, each) for name, each in evaluations.items()}
    write_page(tmp_path / "index.html", findings, TABLE1, {})
    page = Reader((tmp_path / "index.html").read_text()).text
    assert tuple("model was trained on the rendered sample" in card for card in cards) == of_sample
    assert ("first weights were trained on the rendered sample (a)" in cards[1]) == of_start
    assert page.count("model was trained on the rendered sample") == sum(of_sample)
    assert "| trained on | b: " in cards[1]
    assert "| its first weights on | a: " in cards[1]


def test_card_of_a_fine_tuned_model_without_val_drivers_still_is_one(
    data: FinetuneData, models: Path, tmp_path: Path
) -> None:
    clips = [clip.model_copy(update={"subset": "train"}) for clip in data.rldd_split]
    evaluation = JUDGE.finetuned(models / "finetuned", replace(data, rldd_split=clips))
    write_card("finetuned", evaluation, FINETUNED, tmp_path / "README.md")
    card = (tmp_path / "README.md").read_text()
    assert "Not a safety device" in card
    assert "The metrics are of 0 subjects." in card
