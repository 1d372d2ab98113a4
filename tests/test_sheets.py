"""Contact sheets, curves, maps: what lies where."""

from __future__ import annotations

import numpy as np
import pytest

from generators.core.sheets import contact_sheet, curves, latent_map


def test_a_sheet_holds_every_picture_in_its_place():
    pixels = np.zeros((5, 4, 4), np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None] * 10
    sheet = np.asarray(contact_sheet(pixels, columns=3, scale=2, gap=1))
    assert sheet.shape == (2 * 9 - 1, 3 * 9 - 1)
    assert [sheet[4, x] for x in (4, 13, 22)] == [0, 10, 20] and [sheet[13, x] for x in (4, 13, 22)] == [30, 40, 255]
    assert np.asarray(contact_sheet(np.zeros((3, 28, 28, 3), np.uint8))).shape[2] == 3
    with pytest.raises(ValueError, match="no pictures"):
        contact_sheet(pixels[:0])


def test_curves_draw_losses_and_gradients_apart():
    history = [{"step": i, "loss": 1 / i, "loss_gradient": 10.0**-i} for i in range(1, 9)]
    drawn = curves(history)
    assert drawn.count("<polyline") == 2 and "log10 loss gradient" in drawn and "step 8" in drawn
    assert curves([]) == curves(history[:1]) == ""


def test_a_map_shows_pictures_near_their_places():
    pixels = np.asarray([[[10]], [[20]], [[30]], [[40]]], np.uint8)
    places = np.asarray([[-5.0, -1.0], [-4.0, 8.0], [3.0, -0.5], [9.0, 9.0]])
    assert np.asarray(latent_map(pixels, places, cells=2)).tolist() == [[10, 30], [20, 40]]
    with pytest.raises(ValueError, match=r"give \(N, 2\)"):
        latent_map(pixels, places[:3])
