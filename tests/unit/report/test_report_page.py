"""The page holds everything, on its own, also where nothing was found."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rlgen_k8s.stages.analyse.results import Analysis, Portrait, Portraits
from rlgen_k8s.stages.intervene.results import POOLED, Results
from rlgen_k8s.stats import Interval

FIGURES = [f"figure-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)]
TABLES = [f"table-{n}" for n in (1, 2, 3, 4, 5)]
OTHERS = [
    "table-learning", "table-seeds", "table-crosscoders", "table-cells", "table-selection", "table-matching",
    "table-nrn", "table-mas", "table-repeats", "table-course",
    "table-cells-zero", "table-cells-raise", "table-contrasts", "table-whole",
    "figure-dose", "figure-drift", "figure-nrn-drift",
    "table-drift",
    "table-dose", "table-loss", "figure-training", "settings", "caveats",
    "found", "seeds",
]  # fmt: skip


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        self.ids += [v for k, v in values.items() if k == "id" and v]
        self.links += [v for k, v in values.items() if k in ("href", "src", "srcset", "data") and v]
        self.unbalanced += [k for k in values if k.startswith("on")]
        if tag not in ("meta", "link", "br", "hr", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)


@pytest.fixture(params=["page", "empty_page"])
def either(request: pytest.FixtureRequest) -> str:
    path: Path = request.getfixturevalue(request.param)
    return path.read_text()


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_every_figure_and_table_of_the_paper_is_there_once(either: str) -> None:
    ids = read(either).ids
    assert set(FIGURES + TABLES + OTHERS) <= set(ids)
    assert len(ids) == len(set(ids))


def assert_stands_alone(text: str) -> list[str]:
    """Returns the links that lead out of the page."""
    reader = read(text)
    assert not reader.tags & {"script", "link", "img", "iframe", "object", "embed", "form"}
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)
    assert not re.search(r"url\((?!#)|@import|javascript:", text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    assert reader.unbalanced == []
    assert reader.open == []
    return [link for link in reader.links if not link.startswith("#")]


def test_page_needs_nothing_from_outside_and_runs_nothing(either: str) -> None:
    assert all(re.fullmatch(r"features/\d+\.html", link) for link in assert_stands_alone(either))


def test_every_feature_of_interest_has_a_page_that_stands_alone(page: Path) -> None:
    links = assert_stands_alone(page.read_text())
    assert {"features/1.html", "features/2.html"} < set(links)
    assert {page.parent / link for link in links} == set((page.parent / "features").iterdir())
    for link in links:
        text = (page.parent / link).read_text()
        assert assert_stands_alone(text) == []
        ids = {"examples", "figure-firing", "table-belonging", "table-scores", "table-effects"}
        assert ids <= set(read(text).ids)


def feature_pages(page: Path) -> list[tuple[Portrait, str]]:
    """Every feature of interest as `analyse` gives it, with its page."""
    portraits = Portraits.model_validate_json((page.parent.parent / "analyse" / "portraits.json").read_text())
    pages = [(one, (page.parent / f"features/{one.feature}.html").read_text()) for one in portraits.features]
    assert len(pages) > 2
    return pages


def test_a_features_page_says_whose_it_is_as_analyse_has_it(page: Path) -> None:
    for portrait, text in feature_pages(page):
        rows = {row[0]: row[1:] for row in cells_of(text, "table-belonging")}
        assert list(rows) == ["Base", "SFT", "RL"]
        assert sum(float(mas) for mas, *_ in rows.values()) == pytest.approx(1, abs=2e-3)
        for model, (mas, over_seeds, nrn, promoted, suppressed) in zip(
            ("base", "sft", "rl"), rows.values(), strict=True
        ):
            assert mas == f"{portrait.mas[model]:.3f}"
            assert shows(over_seeds, portrait.over_seeds[model], 1, 3)
            assert nrn == (f"{portrait.nrn[model]:.3f}" if model != "base" else "–")
            for cell, words in (
                (promoted, portrait.lens[model].promoted),
                (suppressed, portrait.lens[model].suppressed),
            ):
                shown = [word.rsplit(" ", 1) for word in html.unescape(cell).split(" · ")]
                assert [word for word, _ in shown] == [word for word, _ in words]
                logits = [float(logit.replace("−", "-")) for _, logit in shown]
                assert logits == pytest.approx([logit for _, logit in words], abs=0.0501)


def test_a_features_page_says_what_editing_it_does_as_intervene_has_it(page: Path) -> None:
    root, held = page.parent.parent, set()
    for portrait, text in feature_pages(page):
        rows = dict(zip(("rl", "base"), cells_of(text, "table-effects"), strict=True))
        for model, (_, loss, divergence, ours, papers) in rows.items():
            results = Results.model_validate_json((root / f"intervene-{model}" / "results.json").read_text())
            alone = results.alone[portrait.feature]
            assert alone.loss.mean != pytest.approx(alone.divergence.mean, abs=1e-3)
            assert shows(loss, alone.loss, 1, 4, signed=True) and shows(divergence, alone.divergence, 1, 4)
            for cell, kind, split, features in (
                (ours, "main", "held_out", results.features),
                (papers, "paper", "critical", results.paper_features),
            ):
                held.add(portrait.feature in features)
                if portrait.feature in features:
                    (row,) = (r for r in results.rows if (r.kind, r.task, r.split) == (kind, POOLED, split))
                    change = Interval(mean=row.change, low=row.ci_low, high=row.ci_high, n=row.n)
                    note = f"<i>{len(features)} features</i>"
                    assert cell.endswith(note) and shows(cell.removesuffix(note), change, 100, 1, signed=True)
                else:
                    assert cell == "not in it"
    assert held == {True, False}


def test_a_features_page_shows_what_was_planted(page: Path) -> None:
    text = (page.parent / "features/1.html").read_text()
    assert "generalization feature" in text
    scores = text[text.index('id="table-scores"') :]
    assert scores.count("<b>+3.0000</b>") == 5
    # Held-out text knows nothing of the moved tokens: the strongest example is that of the largest embedding.
    words = re.findall(r'class="peak"[^>]*>([^<]*)<', text)
    assert 1 <= len(words) <= 8
    assert all(re.fullmatch(r"w\d+", word) for word in words)


def test_every_estimate_has_an_interval_around_it_and_n(page: Path) -> None:
    cells = re.findall(r'<td class="estimate">(.*?)</td>', page.read_text(), re.DOTALL)
    assert len(cells) > 150
    for cell in cells:
        value = re.search(r"<b>([^<]+)</b>", cell)
        ends = re.search(r'class="ci">\[([^,]+), ([^\]]+)\]', cell)
        assert value is not None
        assert ends is not None
        assert re.search(r'class="n">n = [1-9][\d,]*<', cell)
        low, mean, high = (float(x.replace("−", "-")) for x in (ends[1], value[1], ends[2]))
        assert low <= mean <= high


def test_papers_tables_have_nothing_but_estimates_of_this_run(page: Path) -> None:
    text = page.read_text()
    for table in TABLES:
        part = text[text.index(f'id="{table}"') :]
        body = part[part.index("<tbody>") : part.index("</tbody>")]
        kinds = set(re.findall(r'<td(?: class="(\w+)")?>', body))
        assert kinds <= {"name", "estimate", "paper", "soft"}
        assert "estimate" in kinds


def cells_of(text: str, table: str) -> list[list[str]]:
    """What stands in a table's cells, by row."""
    part = text[text.index(f'id="{table}"') :]
    rows = re.findall("<tr>(.*?)</tr>", part[part.index("<tbody>") : part.index("</tbody>")], re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]


def test_every_seed_has_a_row_and_one_that_did_not_learn_is_called_so(page: Path, empty_page: Path) -> None:
    text = page.read_text()
    cells = cells_of(text, "table-seeds")
    assert [row[0] for row in cells] == ["0, this study", "5", "7"]
    assert [row[-1] for row in cells] == ["both better", "both better", "not both"]
    assert cells[0][1:4] != cells[2][1:4]
    assert cells[2][4].startswith("<b>0.0</b>")
    assert cells[2][5] == "1.00"
    assert "with other seeds: 2; both learnt in 1 of them" in text
    assert "This study was trained with one seed." in empty_page.read_text()


def analysis_of(page: Path) -> Analysis:
    return Analysis.model_validate_json((page.parent.parent / "analyse" / "analysis.json").read_text())


def shows(cell: str, interval: Interval, factor: float, digits: int, signed: bool = False) -> bool:
    """Whether a table's cell has this estimate with its interval and n, as a reader writes them."""

    def written(value: float) -> str:
        return f"{factor * value:{'+' if signed else ''}.{digits}f}".replace("-", "−")

    assert interval.mean is not None and interval.low is not None and interval.high is not None
    ends = f'<span class="ci">[{written(interval.low)}, {written(interval.high)}]</span>'
    return cell == f'<b>{written(interval.mean)}</b> <i>{ends} <span class="n">n = {interval.n:,}</span></i>'


def words_of(text: str, table: str) -> list[list[str]]:
    """The words of a table's cells."""
    return [[re.sub("<[^>]+>", "", cell).strip() for cell in row] for row in cells_of(text, table)]


def test_further_crosscoders_stand_beside_the_joint_one_where_there_are_any(page: Path, empty_page: Path) -> None:
    text, without = page.read_text(), empty_page.read_text()
    assert [row[0] for row in words_of(text, "table-repeats")] == ["seed 9", "seed 10", "λ = 0.25", "48 features"]
    assert [row[0] for row in words_of(text, "table-course")] == ["SFT", "by matching", "RL", "by matching"]
    assert words_of(text, "table-course")[0][1:] == ["6"] * 5
    assert words_of(text, "table-course")[2][1:] == ["0"] * 5
    assert 'id="figure-mas-drift"' in text
    assert "SFT 1/5" in {row[1] for row in words_of(text, "table-crosscoders")}
    assert 'id="figure-mas-drift"' not in without
    for setting in ("crosscoder_seeds=[1,2]", "every_checkpoint=true"):
        assert setting in without and setting not in text


def test_overlap_of_checkpoints_stands_beside_that_of_two_seeds(page: Path, empty_page: Path) -> None:
    """Planted: SFT's tops stay and RL's are others each time; two seeds share 5 of 6 in SFT and 4 in RL."""
    text, without = page.read_text(), empty_page.read_text()
    figure = text[text.index('id="figure-2"') : text.index('id="table-matching"')]
    assert "SFT: of the top 6, two seeds 5.0, by chance 0.6" in figure
    assert "RL: of the top 6, two seeds 4.0, by chance 0.6" in figure
    assert "Two seeds:" in figure
    blanks = {row[0]: row[-1] for row in words_of(text, "table-matching")}
    assert (blanks["SFT 5/5 → seed 9"], blanks["SFT 5/5 → seed 10"]) == ("0", "2")
    assert (blanks["RL 5/5 → seed 9"], blanks["RL 5/5 → seed 10"]) == ("3", "1")
    assert "share 5.0 in SFT and 4.0 in RL: between checkpoints SFT loses no more and RL loses more than" in text
    figure = without[without.index('id="figure-2"') : without.index('id="table-matching"')]
    assert "SFT: of the top 6, by chance 0.6" in figure and "seed" not in figure
    assert "Each crosscoder has one seed: how much two would differ is not known." in without


def test_intervals_over_seeds_stand_beneath_those_over_features(page: Path, empty_page: Path) -> None:
    text, without = page.read_text(), empty_page.read_text()
    analysis = analysis_of(page)
    rows = {row[0]: row[1:] for row in cells_of(text, "table-nrn")}
    assert [title for title in rows if "over seeds" in title] == ["SFT 5/5, over seeds", "RL 5/5, over seeds"]
    for family, title in (("sft", "SFT"), ("rl", "RL")):
        over = analysis.families[family].nrn[-1].over_seeds
        for cell, limit in zip(rows[f"{title} 5/5, over seeds"], ("<0.1", "<0.3", ">0.7", ">0.9"), strict=True):
            assert shows(cell, over[limit], 100, 1) and "n = 3<" in cell
    rows = {row[0]: row[1:] for row in cells_of(text, "table-mas")}
    for model, title in (("base", "Base"), ("sft", "SFT"), ("rl", "RL")):
        for cell, limit in zip(rows[f"{title}, over seeds"], (">0.5", ">0.7", ">0.9"), strict=True):
            assert shows(cell, analysis.mas[model].over_seeds[limit], 100, 1)
    assert text.count("with Student’s interval, n counts them") == 2
    assert "means over 3 seeds of the crosscoder, with their intervals." in text
    assert "over seeds" not in without and "Student" not in without
    assert "what another seed of the crosscoder would give is not known" in without


def test_the_noise_floor_is_beside_every_histogram(page: Path, empty_page: Path) -> None:
    """Planted: in NRN and in MAS of nothing that differs, 6 of 64 features are beyond 0.7."""
    for report, there in ((page, True), (empty_page, False)):
        for name in ("nrn", "nrn-drift", "mas", *(["mas-drift"] if there else [])):
            assert (">Base again<" in (report.parent / "figures" / f"{name}.svg").read_text()) is there
    text = page.read_text()
    noise = {"table-nrn": analysis_of(page).noise, "table-mas": analysis_of(page).joint_noise}
    for table, floor in noise.items():
        assert floor is not None
        (row,) = (row for row in cells_of(text, table) if row[0] == "Base again")
        assert any(shows(cell, floor.beyond[">0.7"], 100, 1) and "<b>9.4</b>" in cell for cell in row[1:])
        assert not [row for row in cells_of(empty_page.read_text(), table) if row[0] == "Base again"]
    for figure in ("figure-1", "figure-3"):
        caption = text[text.index(f'id="{figure}"') :]
        caption = re.sub(r"\s+", " ", caption[: caption.index("</figcaption>")])
        assert "start apart, those of the others in common" in caption


def test_known_numbers_stand_in_the_page(page: Path) -> None:
    text = re.sub(r"<[^>]+>", " ", page.read_text())
    assert "2 of 64 features (1, 2)" in re.sub(r"\s+", " ", text)
    assert "77.0" in text  # the paper's MATH500 of Qwen3-4B-RL
    assert "−46.2" in text  # and its OpenBookQA with features at 0
    assert "learning_rate" in text
    assert "0.0003" in text


def test_nothing_found_is_said_not_hidden(empty_page: Path) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", empty_page.read_text()))
    assert "The intersection of all 5 tasks is empty." in text
    assert "nothing found" in text
    assert "No feature was selected in any task, so there is nothing to intervene on." in text
    assert "No generalization features: the tasks' feature sets have nothing in common".replace("'", "&#39;") in text
    assert "Without critical samples: 5 (" in text
    assert "nan" not in text.lower().split()


def test_figures_are_well_formed_pictures_with_real_text(page: Path) -> None:
    files = sorted((page.parent / "figures").glob("*.svg"))
    assert {file.stem for file in files} >= {"nrn", "overlap", "mas", "tasks", "ranks-sft", "ranks-rl", "accuracy"}
    for file in files:
        root = ElementTree.parse(file).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(root.iter("{http://www.w3.org/2000/svg}text"))) > 3


def test_same_inputs_give_the_same_page(page: Path, tmp_path: Path) -> None:
    from rlgen_k8s.stages.report.inputs import read as read_run
    from rlgen_k8s.stages.report.page import figures_and_page
    from rlgen_k8s.stages.report.settings import ReportSettings

    root = page.parent.parent
    inputs = {p.name: p for p in root.iterdir()}
    first, second = (figures_and_page(read_run(inputs), ReportSettings())[1] for _ in range(2))
    assert first == second
