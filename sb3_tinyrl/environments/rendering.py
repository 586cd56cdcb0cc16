"""Pictures of the environments that we ship, drawn from their observations.

Each function takes an observation, shape ``(observation_dim,)``, and returns an image of 8-bit RGB, shape
``(SIZE, SIZE, 3)``.
"""

from __future__ import annotations

import re
from functools import cache
from math import atan2, cos, hypot, pi, sin

import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures
from PIL import ImageDraw

from sb3_tinyrl._native.jit.headers import find_headers
from sb3_tinyrl.environments.common import Image

SIZE = 500
"""Width and height of a picture, in pixels."""

_Observation = npt.NDArray[np.float32]
_Point = tuple[float, float]

_PAPER, _INK, _BODY, _ACCENT = "white", "black", "firebrick", "steelblue"
_OVERSAMPLING = 2  # for smooth edges

_TRACK_HEADER = ("rl_tools", "rl", "environments", "car", "track.h")
_TRACK_METRES = 2.0
_CAR_METRES = 0.062  # between the axles: lf + lr in RLtools' parameters
_SENSOR_ANGLES = (-pi / 9, 0.0, pi / 9)
_SENSOR_METRES = 0.5


class _Canvas:
    """A picture in metres, the origin in its middle, y upwards."""

    def __init__(self, width: float) -> None:
        self._scale = SIZE * _OVERSAMPLING / width
        self.picture = Pictures.new("RGB", (SIZE * _OVERSAMPLING,) * 2, _PAPER)
        self._draw = ImageDraw.Draw(self.picture)

    def _pixel(self, point: _Point) -> _Point:
        middle = SIZE * _OVERSAMPLING / 2
        return middle + point[0] * self._scale, middle - point[1] * self._scale

    def line(self, start: _Point, end: _Point, width: float, colour: str) -> None:
        self._draw.line([self._pixel(start), self._pixel(end)], colour, max(1, round(width * self._scale)))

    def disc(self, centre: _Point, radius: float, colour: str) -> None:
        (x, y), r = self._pixel(centre), radius * self._scale
        self._draw.ellipse([x - r, y - r, x + r, y + r], colour)

    def rod(self, start: _Point, end: _Point, width: float, colour: str) -> None:
        self.line(start, end, width, colour)
        for point in (start, end):
            self.disc(point, width / 2, colour)

    def polygon(self, points: list[_Point], colour: str) -> None:
        self._draw.polygon(list(map(self._pixel, points)), colour)

    def image(self) -> Image:
        return np.asarray(self.picture.reduce(_OVERSAMPLING))


def draw_pendulum(observation: _Observation) -> Image:
    """Draw the pendulum; an angle of zero points up."""
    cosine, sine, _ = observation.tolist()
    canvas = _Canvas(2.6)
    canvas.rod((0, 0), (-sine, cosine), 0.2, _BODY)
    canvas.disc((0, 0), 0.05, _INK)
    return canvas.image()


def draw_acrobot(observation: _Observation) -> Image:
    """Draw both links; angles of zero hang down, the second one is relative to the first."""
    cosine_1, sine_1, cosine_2, sine_2, _, _ = observation.tolist()
    angle_1 = atan2(sine_1, cosine_1)
    angle = angle_1 + atan2(sine_2, cosine_2)
    joint = sin(angle_1), -cos(angle_1)
    tip = joint[0] + sin(angle), joint[1] - cos(angle)
    canvas = _Canvas(4.4)
    canvas.line((-2.2, 1), (2.2, 1), 0.01, _INK)  # to be reached by the tip
    canvas.rod((0, 0), joint, 0.2, _ACCENT)
    canvas.rod(joint, tip, 0.2, _ACCENT)
    for point in ((0.0, 0.0), joint):
        canvas.disc(point, 0.08, _INK)
    return canvas.image()


def draw_car(observation: _Observation) -> Image:
    """Draw the car and the place where it is to park, in the square that it must not leave."""
    canvas = _Canvas(2.0)
    _draw_car(canvas, (0, 0), 0, _ACCENT)
    x, y, heading = observation[:3].tolist()
    _draw_car(canvas, (x, y), heading, _BODY)
    return canvas.image()


def draw_car_on_track(observation: _Observation) -> Image:
    """Draw the car, what its sensors see, and the track."""
    canvas = _Canvas(_TRACK_METRES)
    ground = np.where(_track()[..., np.newaxis], np.uint8(255), np.uint8(90))
    size = canvas.picture.size
    canvas.picture.paste(Pictures.fromarray(ground.repeat(3, axis=2)).resize(size, Pictures.Resampling.NEAREST))
    x, y, heading = observation[:3].tolist()
    for angle, fraction in zip(_SENSOR_ANGLES, observation[6:].tolist(), strict=True):
        distance = fraction * _SENSOR_METRES
        end = x + distance * cos(heading + angle), y + distance * sin(heading + angle)
        canvas.line((x, y), end, 0.006, _ACCENT)
    _draw_car(canvas, (x, y), heading, _BODY)
    return canvas.image()


def _draw_car(canvas: _Canvas, centre: _Point, heading: float, colour: str) -> None:
    length, width = _CAR_METRES, _CAR_METRES / 2
    corners = [(-length / 2, -width / 2), (length / 4, -width / 2), (length / 2, 0), (length / 4, width / 2)]
    canvas.polygon(
        [
            (
                centre[0] + hypot(x, y) * cos(heading + atan2(y, x)),
                centre[1] + hypot(x, y) * sin(heading + atan2(y, x)),
            )
            for x, y in [*corners, (-length / 2, width / 2)]
        ],
        colour,
    )


@cache
def _track() -> npt.NDArray[np.bool_]:
    """Where RLtools' car may drive: rows from the top, columns from the left."""
    header = find_headers().rltools.joinpath(*_TRACK_HEADER).read_text(encoding="utf-8")
    cells = np.array([word == "true" for word in re.findall(r"\b(?:true|false)\b", header)])
    side = round(len(cells) ** 0.5)
    return cells.reshape(side, side)
