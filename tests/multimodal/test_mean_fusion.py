"""The fused vector and its reasons: what is shown is what was used, and nothing unreadable is ever counted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from multimodal.fusion import FusionResult, MeanFusion
from multimodal.types import ModalityEmbedding, ModalityType

D = 384


def unit(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(*shape, D)).astype(np.float32)), dim=-1)


def words(
    rng: np.random.Generator, quality: float = 1.0, modality: ModalityType = ModalityType.TEXT
) -> ModalityEmbedding:
    vector = unit(rng)
    return ModalityEmbedding(modality, vector, vector[None], {}, quality)


def picture(rng: np.random.Generator, quality: float = 1.0) -> ModalityEmbedding:
    return ModalityEmbedding(ModalityType.IMAGE, unit(rng), unit(rng, 49), {"grid": (7, 7)}, quality)


def unreadable(modality: ModalityType = ModalityType.IMAGE) -> ModalityEmbedding:
    return ModalityEmbedding(modality, torch.zeros(D), torch.zeros(0, D), {"error": "broken"}, 0.0, 0.0)


def same(a: FusionResult, b: FusionResult) -> bool:
    return (
        np.array_equal(a.vector, b.vector)
        and a.contributions == b.contributions
        and a.alignment == b.alignment
        and a.coherence == b.coherence
        and a.attention.keys() == b.attention.keys()
        and all(np.array_equal(a.attention[key], b.attention[key]) for key in a.attention)
    )


def test_against_the_formula_written_out(rng: np.random.Generator) -> None:
    note, noise, view = words(rng, 0.5), words(rng, 0.8, ModalityType.AUDIO), picture(rng, 0.9)
    result = MeanFusion()({"cam": [view], "mic": [noise], "notes": [note]})
    cells = view.features.double()
    maps = {
        name: torch.softmax(cells @ entry.embedding.double() / 0.05, 0)
        for name, entry in (("mic", noise), ("notes", note))
    }
    attended = torch.nn.functional.normalize((maps["mic"] + maps["notes"]) / 2 @ cells, dim=0)
    fused = 0.5 * note.embedding.double() + 0.8 * noise.embedding.double() + 0.9 * attended
    np.testing.assert_allclose(result.vector, torch.nn.functional.normalize(fused, dim=0), atol=1e-5)
    for name, expected in maps.items():
        np.testing.assert_allclose(result.attention[name, "cam"], expected.view(7, 7), atol=1e-5)
    assert result.contributions == pytest.approx({"cam": 0.9 / 2.2, "mic": 0.8 / 2.2, "notes": 0.5 / 2.2})
    assert result.alignment.keys() == {"cam|mic", "cam|notes", "mic|notes"}
    assert result.alignment["mic|notes"] == pytest.approx(float(noise.embedding @ note.embedding), abs=1e-6)
    assert result.coherence == pytest.approx(sum(result.alignment.values()) / 3)


def test_the_part_that_is_named_gets_the_attention(rng: np.random.Generator) -> None:
    view, note = picture(rng), words(rng)
    view.features[3 * 7 + 5] = note.embedding
    result = MeanFusion()({"cam": [view], "notes": [note]})
    assert divmod(int(result.attention["notes", "cam"].argmax()), 7) == (3, 5)
    assert float(result.vector @ note.embedding.numpy()) > 0.95


def test_where_nobody_asks_a_picture_is_as_it_is(rng: np.random.Generator) -> None:
    view = picture(rng, 0.3)
    result = MeanFusion()({"cam": [view]})
    np.testing.assert_allclose(result.vector, view.embedding, atol=1e-6)
    assert result.attention == {}
    assert result.contributions == {"cam": 1.0}
    assert result.coherence == 1.0


def test_two_cameras_are_two_streams_and_two_pictures_are_one(rng: np.random.Generator) -> None:
    note = words(rng)
    result = MeanFusion()({"a": [picture(rng), picture(rng)], "b": [picture(rng)], "notes": [note]})
    assert result.attention.keys() == {("notes", "a"), ("notes", "b")}
    for shown in result.attention.values():
        assert shown.shape == (7, 7)
        assert float(shown.sum()) == pytest.approx(1, abs=1e-5)
    assert sum(result.contributions.values()) == pytest.approx(1)
    assert set(result.contributions) == {"a", "b", "notes"}


def test_a_worse_picture_of_one_camera_gets_less_attention(rng: np.random.Generator) -> None:
    note, view = words(rng), picture(rng)
    twin = ModalityEmbedding(ModalityType.IMAGE, view.embedding, view.features, view.metadata, 0.25)
    both = MeanFusion()({"cam": [view, twin], "notes": [note]})
    alone = MeanFusion()({"cam": [view], "notes": [note]})
    np.testing.assert_allclose(both.attention["notes", "cam"], alone.attention["notes", "cam"], atol=1e-5)
    assert both.contributions["cam"] == pytest.approx(0.625 / 1.625)


def test_what_cannot_be_read_counts_nothing_and_breaks_nothing(rng: np.random.Generator) -> None:
    note, view = words(rng), picture(rng)
    clean = MeanFusion()({"cam": [view], "notes": [note]})
    for broken in (unreadable(), picture(rng, 0.0)):
        spoiled = MeanFusion()({"cam": [view], "notes": [note], "other": [broken]})
        assert np.array_equal(spoiled.vector, clean.vector)
        assert spoiled.alignment == clean.alignment
        assert spoiled.contributions == {**clean.contributions, "other": 0.0}
    half = MeanFusion()({"cam": [view, unreadable()], "notes": [note]})
    assert half.contributions["cam"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("window", [{}, {"cam": []}, {"cam": [unreadable()], "mic": [unreadable(ModalityType.AUDIO)]}])
def test_nothing_readable_is_zero_and_never_nan(window: dict[str, list[ModalityEmbedding]]) -> None:
    result = MeanFusion()(window)
    assert not result.vector.any()
    assert result.contributions == {}
    assert result.coherence == 0


def test_opposite_vectors_cancel_without_nan(rng: np.random.Generator) -> None:
    note = words(rng)
    anti = ModalityEmbedding(ModalityType.TEXT, -note.embedding, -note.features)
    result = MeanFusion()({"a": [note], "b": [anti]})
    assert np.isfinite(result.vector).all()
    assert result.alignment["a|b"] == pytest.approx(-1)


def test_a_result_does_not_depend_on_order_of_streams_or_on_other_windows(rng: np.random.Generator) -> None:
    window = {"cam": [picture(rng), picture(rng)], "mic": [words(rng, 0.4, ModalityType.AUDIO)], "notes": [words(rng)]}
    fusion = MeanFusion()
    first = fusion(window)
    fusion({"cam": [picture(rng)], "notes": [words(rng)]})
    assert same(fusion(window), first)
    assert same(fusion(dict(reversed(window.items()))), first)


def test_more_quality_never_means_less_share(rng: np.random.Generator) -> None:
    mic, note = words(rng, 1.0, ModalityType.AUDIO), words(rng)
    shares = []
    for quality in (0.1, 0.4, 0.7, 1.0):
        note.quality_score = quality
        shares.append(MeanFusion()({"mic": [mic], "notes": [note]}).contributions["notes"])
    assert all(a < b for a, b in pairwise(shares))
