"""Figures and pages: right, readable, and harmless whatever people said."""

import json
import math
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from multimodal.errors import ConfigError, InputError
from multimodal.visualization import AttentionVisualizer, Moment, attention_statistics
from multimodal.visualization.charts import contributions
from multimodal.visualization.explorer import explorer
from multimodal.visualization.heatmap import heatmap

WEIGHTS = torch.softmax(torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)), -1)
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)


@pytest.fixture
def visualizer(tmp_path):
    return AttentionVisualizer(tmp_path)


def texts(figure):
    """Every text that is drawn, with the rectangle it takes up in the figure."""
    from matplotlib.text import Text

    figure.canvas.draw()
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent()) for text in found]


def tick_boxes(axis):
    axis.figure.canvas.draw()
    return [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]


@pytest.mark.parametrize("weights", [WEIGHTS[0], WEIGHTS, WEIGHTS[None], WEIGHTS.bfloat16(), WEIGHTS.numpy()])
def test_a_heat_map_of_any_accepted_form(visualizer, weights):
    figure, path = visualizer.create_attention_heatmap(weights, list("abcde"), None, "words")
    assert path.read_bytes().startswith(b"\x89PNG")
    panels = 1 if np.asarray(weights.float() if isinstance(weights, torch.Tensor) else weights).ndim == 2 else 2
    assert len([ax for ax in figure.axes if ax.images]) == panels


@pytest.mark.parametrize("count", [3, 30, 300])
def test_labels_never_overlap(count):
    """Lost otherwise: a black smear where the words should be."""
    names = [f"a rather long name {number}" for number in range(count)]
    figure = heatmap(torch.full((count, count), 1 / count), names, names)
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        boxes = tick_boxes(axis)
        assert boxes
        assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))
    sequence = contributions([{"text": 0.5, "image": 0.5}] * count, names)
    boxes = tick_boxes(sequence.axes[0].xaxis)
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))


def test_nothing_is_drawn_outside_the_figure(visualizer):
    figure, _ = visualizer.create_attention_heatmap(WEIGHTS[0], ["word"] * 5, ["cell"] * 7, "a title " * 12)
    width, height = figure.canvas.get_width_height()
    for text, box in texts(figure):
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, text


def test_words_that_the_font_lacks_or_that_look_like_a_formula_are_drawn_as_words(visualizer):
    """Warnings are errors here, so a missing letter would fail."""
    visualizer.format = "svg"
    visualizer.create_attention_heatmap(torch.eye(3), ["猫", "$x_1$ and $y", "a_b^c"], ["\n", "tab\t", "é"], "$100 or 猫")
    visualizer.create_contribution_chart({"$a$": 1.0}, title="%$")


def test_the_same_figure_is_the_same_file(tmp_path):
    first, second = (
        AttentionVisualizer(tmp_path / name, format="svg").create_attention_heatmap(WEIGHTS[0]).path.read_bytes()
        for name in "ab"
    )
    assert first == second
    assert b"<svg" in first


def test_threads_may_draw_at_once(tmp_path):
    visualizer = AttentionVisualizer(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda n: visualizer.create_attention_heatmap(WEIGHTS[0], title=f"t{n}").path, range(8)))
    assert len({path.read_bytes() for path in paths}) == 8
    assert len(set(paths)) == 8


def test_the_overlay_marks_the_cell_that_has_most(visualizer):
    from matplotlib.patches import Rectangle

    shares = torch.zeros(3, 4)
    shares[1, 2] = 1
    for picture in (PICTURE, torch.from_numpy(PICTURE).permute(2, 0, 1), PICTURE / 255):
        figure, path = visualizer.create_attention_overlay(picture, shares)
        assert path.is_file()
        [frame] = [patch for patch in figure.axes[1].patches if isinstance(patch, Rectangle)]
        assert frame.get_xy() == (2 * 20 - 0.5, 1 * 20 - 0.5)


class TestStatistics:
    def test_the_numbers_are_those_of_the_definition(self):
        found = attention_statistics(torch.tensor([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]]))
        np.testing.assert_allclose(found.entropy, [[0, math.log(4)]])
        np.testing.assert_allclose(found.effective_keys, [[1, 4]])
        np.testing.assert_allclose(found.peak, [[1, 0.25]])
        assert found.mean_entropy == pytest.approx(0.5)
        assert found.zeros == pytest.approx(3 / 8)
        assert found.disagreement is None

    def test_heads_that_look_elsewhere_disagree(self):
        found = attention_statistics(torch.stack([torch.eye(2), torch.eye(2).flip(0)]))
        assert found.disagreement == pytest.approx(math.log(2))
        assert attention_statistics(torch.stack([torch.eye(2)] * 2)).disagreement == pytest.approx(0)

    def test_empty_rows_are_in_no_mean(self, visualizer):
        masked = torch.cat((WEIGHTS, torch.zeros(2, 5, 7)), 1)
        whole, half = attention_statistics(WEIGHTS).summary(), attention_statistics(masked).summary()
        for name in set(whole) - {"empty rows", "share of zeros"}:
            assert half[name] == pytest.approx(whole[name]), name
        assert half["empty rows"] == 10
        drawn = visualizer.create_distribution_plot(masked).figure
        assert drawn.axes[1].get_title() == f"{whole['mean effective keys']:.1f} on average (line)"
        assert attention_statistics(torch.zeros(2, 3, 4)).summary()["mean effective keys"] == 0
        assert visualizer.create_distribution_plot(torch.zeros(2, 3, 4)).path.is_file()

    def test_a_row_whose_keys_are_all_masked_counts_as_empty(self):
        found = attention_statistics(torch.tensor([[0.0, 0], [0.5, 0.5]]))
        assert found.empty_rows == 1
        assert found.mean_entropy == pytest.approx(1)

    def test_what_is_no_attention_is_refused(self):
        with pytest.raises(InputError, match="sum to 1"):
            attention_statistics(torch.ones(2, 2))


class TestRefused:
    @pytest.mark.parametrize(
        ("weights", "sources", "match"),
        [
            (torch.zeros(3), None, "not \\(3,\\)"),
            (torch.full((2, 2), math.nan), None, "NaN"),
            (-torch.eye(2), None, "below 0"),
            (torch.eye(2), ["one"], "2 are needed"),
            (torch.eye(2), "ab", "2 are needed"),
            (torch.zeros(0, 2), None, "nothing"),
        ],
    )
    def test_maps(self, visualizer, weights, sources, match):
        with pytest.raises(InputError, match=match):
            visualizer.create_attention_heatmap(weights, sources)

    def test_formats(self, tmp_path):
        with pytest.raises(ConfigError, match="svg"):
            AttentionVisualizer(tmp_path, format="gif")

    def test_charts_and_pages_of_nothing(self, visualizer):
        for draw in (visualizer.create_contribution_chart, visualizer.create_explorer):
            with pytest.raises(InputError):
                draw([])


class TestExplorer:
    EVIL = "</script><script>alert('1')</script><img src=x onerror=alert(2)>"

    def moment(self, **changes):
        given = {
            "title": "12:00", "picture": PICTURE, "maps": {"words->camera": torch.eye(7) / 7}, "texts": ["tea is ready"],
            "contributions": {"text": 0.4, "camera": 0.6}, "labels": {"camera": [("teapot", 0.8)]},
            "numbers": {"coherence": 0.5, "nothing": None},
        }  # fmt: skip
        return Moment(**{**given, **changes})

    def test_the_page_holds_all_and_asks_for_nothing(self):
        page = explorer([self.moment(), self.moment(picture=None)], "A day")
        assert not re.search(r"(?:src|href)=[\"'](?!data:)", page)
        assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
        assert "default-src 'none'" in page
        data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
        assert len(data["moments"]) == 2
        assert data["moments"][0]["maps"]["words->camera"][0][0] == pytest.approx(1 / 7, abs=1e-5)
        assert data["moments"][0]["picture"].startswith("data:image/jpeg;base64,")
        assert data["moments"][0]["texts"] == ["tea is ready"]

    def test_what_people_said_is_never_markup(self):
        page = explorer([self.moment(title=self.EVIL, texts=[self.EVIL], labels={self.EVIL: [(self.EVIL, 0.5)]})], self.EVIL)
        assert page.count("<script") == 2
        assert "<img src=x" not in page

    def test_the_policy_allows_the_script_that_is_there(self):
        import base64
        import hashlib

        page = explorer([self.moment()])
        script = page.rsplit("<script>", 1)[1].rsplit("</script>", 1)[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"sha256-{digest}" in page

    def test_a_large_picture_is_sent_small(self):
        page = explorer([self.moment(picture=np.zeros((3000, 4000, 3), np.uint8))])
        assert len(page) < 60_000


def test_a_report_holds_every_map_with_its_numbers(visualizer):
    _, path = visualizer.create_report({"words": WEIGHTS[0], "<heads>": WEIGHTS}, {"text": 1.0}, title="All")
    page = path.read_text()
    assert page.count("<svg") == 5
    assert "disagreement" in page
    assert "<heads>" not in page


def test_titles_of_any_script_and_with_marks_of_the_template_are_only_titles(visualizer):
    assert visualizer.create_attention_heatmap(WEIGHTS, title="\U00020000" * 90).path.is_file()
    page = explorer([Moment(title="tea")], "{{data}} {{script}}")
    assert "<title>{{data}} {{script}}</title>" in page
    assert page.count('"moments"') == 1


def test_half_an_emoji_is_written_as_a_question_mark(visualizer):
    page = visualizer.create_explorer([Moment(title="tea", texts=["half \ud83d"])]).path.read_text(encoding="utf-8")
    assert '"half ?"' in page


def test_what_is_no_array_is_refused():
    for wrong in ("abc", [[1.0], [0.5, 0.5]], [[None]]):
        with pytest.raises(InputError, match="attention_weights"):
            heatmap(wrong)


def test_many_moments_are_drawn_as_areas_with_the_same_heights():
    moments = [{"text": 0.25, "image": 0.75}, {"text": 1.0}] * 150
    ax = contributions(moments).axes[0]
    assert not ax.patches
    image, text = ax.collections
    corners = text.get_paths()[0].vertices
    for place, floor in ((0, 0.75), (1, 0.0)):
        over = corners[np.isclose(corners[:, 0], place + 0.5)]
        assert {round(float(y), 6) for y in over[:, 1]} >= {floor, 1.0}
    assert image.get_paths()[0].vertices[:, 1].max() == pytest.approx(0.75)
