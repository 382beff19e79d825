"""The pictures attached to the demo reviews, drawn with Pillow and numpy: nothing in them is anybody's."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from math import cos, pi, sin, tau
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int]
Picture = Image.Image

INK, PAPER, BLUE, RED, GREEN, GOLD = (
    (38, 44, 56), (250, 248, 243), (59, 111, 182), (196, 62, 58), (52, 140, 92), (201, 152, 54),
)  # fmt: skip


def certificate(name: str, colour: Colour) -> Picture:
    """A course's certificate with a frame, a seal and a signature."""
    image, draw = _canvas(1000, 700, PAPER)
    for inset, width in ((24, 8), (42, 2)):
        draw.rectangle((inset, inset, 1000 - inset, 700 - inset), outline=colour, width=width)
    _centred(draw, 150, "CERTIFICATE", 74, colour)
    _centred(draw, 262, "this is to certify that the course", 26, INK)
    _centred(draw, 320, name, 52, INK)
    _centred(draw, 412, "has been completed with distinction", 26, INK)
    _seal(draw, 800, 560, colour)
    draw.line([(150 + t * 3, 590 + 18 * sin(t / 5) * cos(t / 17)) for t in range(80)], fill=INK, width=3)
    draw.line((140, 620, 410, 620), fill=INK, width=1)
    return image


def screen(title: str, shown: str) -> Picture:
    """A window of an editor or terminal."""
    image, draw = _canvas(960, 600, (30, 34, 42))
    draw.rectangle((0, 0, 960, 44), fill=(58, 64, 76))
    for i, colour in enumerate((RED, GOLD, GREEN)):
        draw.ellipse((18 + 28 * i, 14, 34 + 28 * i, 30), fill=colour)
    _centred(draw, 10, title, 20, (214, 220, 228))
    for row, line in enumerate(shown.splitlines()):
        draw.text((28, 66 + 36 * row), f"{row + 1:>2}", font=_font(22), fill=(96, 104, 118))
        draw.text((76, 66 + 36 * row), line, font=_font(22), fill=_SYNTAX.get(line.split(" ")[0], (214, 220, 228)))
    return image


def error_page() -> Picture:
    """A page that a broken site shows."""
    image, draw = _canvas(960, 600, (255, 255, 255))
    draw.rectangle((0, 0, 960, 56), fill=(236, 239, 243))
    draw.rounded_rectangle((120, 12, 840, 44), 16, fill=(255, 255, 255))
    draw.text((140, 16), "school.example.com/quiz/12/submit", font=_font(20), fill=(110, 120, 136))
    _centred(draw, 180, "500", 150, RED)
    _centred(draw, 380, "Something went wrong. Try again later.", 30, INK)
    return image


def bars(values: tuple[int, ...], title: str, colour: Colour) -> Picture:
    """A bar chart with a grid."""
    image, draw, plot = _axes(title)
    wide = (plot[2] - plot[0]) / len(values)
    for i, value in enumerate(values):
        left, top = plot[0] + i * wide, plot[3] - (plot[3] - plot[1]) * value / 100
        draw.rectangle((left + wide * 0.15, top, left + wide * 0.85, plot[3]), fill=colour)
        draw.text((left + wide * 0.5, top - 26), str(value), font=_font(20), fill=INK, anchor="ma")
    return image


def histograms() -> Picture:
    """Three overlapping distributions, as a statistics library draws them."""
    image, _, plot = _axes("plotly, seaborn, matplotlib")
    for centre, width, colour in ((0.3, 0.09, BLUE), (0.5, 0.13, RED), (0.72, 0.07, GREEN)):
        layer = Image.new("RGBA", image.size)
        x = np.linspace(0, 1, 120)
        y = np.exp(-(((x - centre) / width) ** 2) / 2) * 0.07 / width
        points = _placed(plot, x, y)
        pen = ImageDraw.Draw(layer)
        pen.polygon([(plot[0], plot[3]), *points, (plot[2], plot[3])], fill=(*colour, 110))
        pen.line(points, fill=(*colour, 255), width=4)
        image.paste(layer, mask=layer)
    return image


def curves() -> Picture:
    """The loss of a training that begins to overfit."""
    image, draw, plot = _axes("loss: train (blue), validation (red)")
    x = np.linspace(0, 1, 90)
    noise = np.random.default_rng(9).uniform(-0.012, 0.012, (2, 90))
    train, validation = 0.85 * np.exp(-4 * x) + 0.06, 0.8 * np.exp(-5 * x) + 0.16 + 0.2 * x**2
    for y, colour in ((train + noise[0], BLUE), (validation + noise[1], RED)):
        draw.line(_placed(plot, x, y), fill=colour, width=4, joint="curve")
    return image


def scatter() -> Picture:
    """Three clusters in a plane."""
    image, draw, plot = _axes("k-means, k = 3")
    random = np.random.default_rng(91)
    for (cx, cy), colour in (((0.25, 0.7), BLUE), ((0.7, 0.75), RED), ((0.55, 0.3), GREEN)):
        for dx, dy in (random.random((70, 4)).reshape(70, 2, 2).sum(axis=2) - 1) * 0.17:
            ((x, y),) = _placed(plot, [cx + dx], [cy + dy])
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour, outline=(255, 255, 255))
    return image


def confusion() -> Picture:
    """A confusion matrix of four classes."""
    image, draw = _canvas(720, 720, (255, 255, 255))
    counts = ((46, 3, 1, 0), (4, 41, 4, 1), (2, 5, 30, 13), (0, 1, 9, 40))
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            shade = count / 50
            fill = tuple(round(255 + (c - 255) * shade) for c in BLUE)
            box = (110 + 140 * j, 90 + 140 * i, 246 + 140 * j, 226 + 140 * i)
            draw.rectangle(box, fill=fill)
            ink = PAPER if shade > 0.5 else INK
            draw.text((box[0] + 68, box[1] + 50), str(count), font=_font(32), fill=ink, anchor="ma")
    for i, name in enumerate(("cat", "dog", "hamster", "mouse")):
        draw.text((98, 146 + 140 * i), name, font=_font(20), fill=INK, anchor="ra")
        draw.text((178 + 140 * i, 56), name, font=_font(20), fill=INK, anchor="ma")
    return image


def dashboard() -> Picture:
    """A screen of charts."""
    image = Image.new("RGB", (1280, 760), (236, 239, 243))
    charts = (bars((42, 58, 61, 77, 90), "sales", GREEN), curves(), scatter(), histograms())
    for i, chart in enumerate(charts):
        image.paste(chart.resize((610, 350), Image.Resampling.LANCZOS), (20 + 630 * (i % 2), 20 + 370 * (i // 2)))
    return image


def palette() -> Picture:
    """Colours chosen for a poster."""
    image, draw = _canvas(900, 500, PAPER)
    for i, colour in enumerate(((38, 70, 83), (42, 157, 143), (233, 196, 106), (244, 162, 97), (231, 111, 81))):
        draw.rounded_rectangle((40 + 166 * i, 60, 190 + 166 * i, 380), 18, fill=colour)
        draw.text((115 + 166 * i, 400), "#{:02x}{:02x}{:02x}".format(*colour), font=_font(24), fill=INK, anchor="ma")
    return image


def words() -> Picture:
    """A cloud of words."""
    image, draw = _canvas(960, 600, (255, 255, 255))
    cloud = ("python", "course", "thanks", "homework", "matrix", "teacher", "loop", "exam", "code", "mentor", "query",
             "chart", "model", "lecture", "video", "bug", "chat", "test")  # fmt: skip
    for i, word in enumerate(cloud):
        turn, away = i * 2.4, 90 * i**0.5
        place = (480 + away * 1.2 * cos(turn), 300 + away * 0.7 * sin(turn))
        draw.text(place, word, font=_font(max(64 - 4 * i, 20)), fill=(BLUE, RED, GREEN, GOLD, INK)[i % 5], anchor="mm")
    return image


def poster() -> Picture:
    """A poster of circles, rays and big letters."""
    image, draw = _canvas(700, 990, (38, 70, 83))
    for i in range(24):
        ends = [(350 + 900 * cos(a), 420 + 900 * sin(a)) for a in (tau * i / 24, tau * (i + 0.5) / 24)]
        draw.polygon([(350, 420), *ends], fill=(42, 92, 104))
    for radius, colour in ((250, (233, 196, 106)), (190, (244, 162, 97)), (130, (231, 111, 81))):
        draw.ellipse((350 - radius, 420 - radius, 350 + radius, 420 + radius), fill=colour)
    _centred(draw, 740, "SCHOOL", 110, PAPER)
    _centred(draw, 860, "THEATRE", 74, (233, 196, 106))
    return image


def landscape(seed: int, high: Colour, low: Colour, sun: tuple[int, int]) -> Picture:
    """Mountains one behind the other under a sky that changes colour towards the ground."""
    width, height = 1280, 854
    ramp = np.linspace(0, 1, height)[:, None, None] ** 1.3
    sky = np.asarray(high) * (1 - ramp) + np.asarray(low) * ramp
    image = Image.fromarray(np.broadcast_to(sky, (height, width, 3)).astype(np.uint8))
    glow = Image.new("L", image.size)
    ImageDraw.Draw(glow).ellipse((sun[0] - 70, sun[1] - 70, sun[0] + 70, sun[1] + 70), fill=255)
    wide = glow.filter(ImageFilter.GaussianBlur(60)).point(lambda v: min(255, v * 2))
    image.paste((255, 236, 190), mask=wide)
    image.paste((255, 250, 230), mask=glow.filter(ImageFilter.GaussianBlur(3)))
    random = np.random.default_rng(seed)
    for layer in range(5):
        base, rough = 430 + 85 * layer, 150 - 22 * layer
        ridge = base - rough * _ridge(random, width)
        shade = tuple(round(c * (0.62 - 0.12 * layer)) for c in low)
        points = [(x, float(y)) for x, y in enumerate(ridge)]
        ImageDraw.Draw(image).polygon([(0, height), *points, (width, height)], fill=shade)
    return _photograph(image, seed)


def desk() -> Picture:
    """A laptop, a notebook and a mug on a wooden table, seen from above."""
    image = _wood(1280, 854, 111)
    draw = ImageDraw.Draw(image)
    _shadowed(image, (330, 130, 930, 520), (70, 74, 82))
    draw.rounded_rectangle((352, 150, 908, 500), 8, fill=(232, 238, 246))
    for row in range(11):
        end = 380 + 60 * ((row * 7) % 8 + 1)
        draw.rectangle((380, 176 + 28 * row, end, 188 + 28 * row), fill=(BLUE, GREEN, (150, 158, 170))[row % 3])
    _shadowed(image, (330, 540, 930, 770), (196, 200, 206))
    for row in range(5):
        for key in range(14):
            left, top = 352 + 40 * key, 560 + 34 * row
            draw.rounded_rectangle((left, top, left + 34, top + 28), 5, fill=(64, 68, 76))
    _shadowed(image, (60, 240, 280, 620), (222, 96, 74))
    _mug(image, 1090, 300, 110)
    return _photograph(image, 111)


def latte() -> Picture:
    """A cup of coffee with a leaf poured on it."""
    image = _wood(1080, 1080, 20)
    _mug(image, 540, 540, 380)
    draw = ImageDraw.Draw(image)
    for i in range(9):
        y, reach = 340 + 46 * i, 200 - abs(i - 4) * 34
        for side in (-1, 1):
            leaf = [(540 + side * t * reach, y + 46 * t * t - 70 * t) for t in np.linspace(0, 1, 20)]
            draw.line(leaf, fill=(243, 226, 196), width=20)
    draw.line((540, 320, 540, 780), fill=(120, 74, 42), width=7)
    return _photograph(image.filter(ImageFilter.GaussianBlur(2)), 20)


def notebook() -> Picture:
    """A squared page with formulas and a parabola in blue pen."""
    image, draw = _canvas(900, 1200, (246, 244, 236))
    for at in range(0, 1200, 30):
        draw.line((0, at, 900, at), fill=(196, 212, 232))
        draw.line((at, 0, at, 1200), fill=(196, 212, 232))
    draw.line((810, 0, 810, 1200), fill=RED, width=3)
    pen = (36, 52, 140)
    for row, formula in enumerate(("ax^2 + bx + c = 0", "D = b^2 - 4ac", "x = (-b + sqrt D) / 2a", "y = x^2 - 4x + 3")):
        draw.text((84, 84 + 90 * row), formula, font=_font(50), fill=pen)
    draw.line((420, 560, 420, 1130), fill=INK, width=4)
    draw.line((120, 980, 760, 980), fill=INK, width=4)
    draw.line([(420 + x, 1020 - 380 * (x / 260) ** 2) for x in range(-250, 251, 5)], fill=pen, width=6)
    page = image.rotate(2.5, Image.Resampling.BICUBIC, fillcolor=(120, 92, 68))
    return _photograph(page, 25)


def whiteboard() -> Picture:
    """A board after a lesson: a triangle, a circle around it, and sums."""
    image, draw = _canvas(1200, 800, (232, 234, 236))
    draw.rectangle((0, 0, 1199, 799), outline=(150, 154, 160), width=26)
    corners = [(330 + 220 * cos(a), 400 + 220 * sin(a)) for a in (-pi / 2, pi / 6, 5 * pi / 6)]
    draw.ellipse((110, 180, 550, 620), outline=BLUE, width=6)
    draw.polygon(corners, outline=RED, width=6)
    for corner, name in zip(corners, "ABC", strict=True):
        draw.text((corner[0] + 16, corner[1] - 20), name, font=_font(44), fill=INK)
    for row, line in enumerate(("a / sin A = 2R", "tg x = sin x / cos x", "S = ab sin C / 2", "log 8 : log 2 = 3")):
        draw.text((640, 150 + 120 * row), line, font=_font(54), fill=(INK, GREEN, RED, BLUE)[row])
    return _photograph(image, 34)


def city() -> Picture:
    """Lit windows at night, and lights out of focus in front of them."""
    image, draw = _canvas(1280, 854, (14, 18, 38))
    random = np.random.default_rng(30)
    x = 0
    while x < 1280:
        wide, top = int(random.integers(90, 170)), int(random.integers(120, 460))
        draw.rectangle((x, top, x + wide, 854), fill=(24, 28, 48))
        for wx in range(x + 10, x + wide - 16, 24):
            for wy in range(top + 14, 820, 32):
                if random.random() < 0.4:
                    lamp = (250, 214, 130) if random.random() < 0.8 else (170, 200, 250)
                    draw.rectangle((wx, wy, wx + 12, wy + 18), fill=lamp)
        x += wide + 8
    image = image.filter(ImageFilter.GaussianBlur(2))
    for _ in range(26):
        light = Image.new("L", image.size)
        cx, cy, radius = map(int, random.integers((0, 520, 14), (1280, 854, 46)))
        ImageDraw.Draw(light).ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=90)
        image.paste(((255, 120, 90), (255, 210, 120), (130, 190, 255))[radius % 3], mask=light)
    return _photograph(image, 30)


def flask() -> Picture:
    """A flask of something green that boils."""
    image, draw = _canvas(900, 1200, (214, 222, 230))
    draw.rectangle((0, 900, 900, 1200), fill=(120, 110, 104))
    glass = [(390, 200), (510, 200), (510, 480), (740, 960), (160, 960), (390, 480)]
    draw.polygon(glass, fill=(236, 244, 248), outline=(120, 140, 156), width=8)
    draw.polygon([(316, 640), (584, 640), (730, 952), (170, 952)], fill=(86, 190, 120))
    random = np.random.default_rng(93)
    for x, y, radius in random.integers((280, 660, 6), (620, 940, 26), (40, 3)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(214, 250, 224), width=3)
    return _photograph(image.filter(ImageFilter.GaussianBlur(1)), 93)


def jumping() -> list[Picture]:
    """Frames of a square that jumps."""
    frames = []
    for step in range(12):
        image, draw = _canvas(240, 240, PAPER)
        top = 170 - 130 * sin(pi * step / 12)
        draw.rectangle((95, top, 145, top + 50), fill=BLUE)
        draw.line((20, 222, 220, 222), fill=INK, width=4)
        frames.append(image.quantize(16))
    return frames


def bomb() -> Picture:
    """42 megapixels in a few kilobytes: more than is ever decoded."""
    return Image.new("1", (6500, 6500), 1)


_SYNTAX: Mapping[str, Colour] = MappingProxyType(
    {
        "def": (198, 120, 221), "for": (198, 120, 221), "import": (198, 120, 221), "$": (152, 195, 121),
        "#": (110, 120, 136), "ERROR": (224, 108, 117),
    }
)  # fmt: skip

_CODE = """\
import seaborn as sns
import plotly.express as px

# five numbers of every column
def summary(frame):
    return frame.describe().T

for course in courses:
    print(course, summary(course))"""

_SHELL = """\
$ psql -d school
select title, avg(rating)
from reviews join courses using (course_id)
group by title
order by 2 desc;

python            4.71
ege               4.32
ERROR column "raiting" does not exist"""

PICTURES: Mapping[str, Callable[[], Picture | list[Picture]]] = MappingProxyType(
    {
        "certificate_python.png": lambda: certificate("Python for beginners", BLUE),
        "certificate_sql.jpg": lambda: certificate("SQL: queries and windows", GREEN),
        "certificate_ml.webp": lambda: certificate("Machine learning", RED),
        "code_editor.png": lambda: screen("reviews.py", _CODE),
        "terminal.png": lambda: screen("terminal", _SHELL),
        "error_500.png": error_page,
        "ege_scores.png": lambda: bars((56, 61, 70, 74, 83, 92), "mock exams, September to February", BLUE),
        "bar_chart.png": lambda: bars((84, 71, 66, 40, 22), "hours saved by report", GOLD),
        "plot_seaborn.png": histograms,
        "loss_curve.png": curves,
        "scatter.png": scatter,
        "confusion_matrix.png": confusion,
        "dashboard.png": dashboard,
        "palette.png": palette,
        "wordcloud.png": words,
        "poster.webp": poster,
        "sunset.jpg": lambda: landscape(7, (70, 62, 120), (250, 150, 90), (860, 380)),
        "mountains.jpg": lambda: landscape(84, (96, 150, 205), (226, 206, 190), (300, 260)),
        "desk_morning.jpg": desk,
        "latte.jpg": latte,
        "notebook.jpg": notebook,
        "whiteboard.jpg": whiteboard,
        "city_night.jpg": city,
        "phone_upside_down.jpg": flask,
        "animation.gif": jumping,
        "bomb.png": bomb,
    }
)
"""File name -> what draws it. The ending decides the format."""


def encoded(name: str) -> bytes:
    """The picture of that name as its file's bytes."""
    drawn, out = PICTURES[name](), io.BytesIO()
    ending = PurePath(name).suffix
    if isinstance(drawn, list):
        drawn[0].save(out, "GIF", save_all=True, append_images=drawn[1:], duration=60, loop=0)
    elif ending == ".jpg":
        upside_down = Image.Exif()
        if "upside_down" in name:  # as a phone stores it: the sensor's rows, and a note that they stand on their heads
            upside_down[ExifTags.Base.Orientation] = 3
            drawn = drawn.transpose(Image.Transpose.ROTATE_180)
        drawn.save(out, "JPEG", quality=68, exif=upside_down)
    elif ending == ".webp":
        drawn.save(out, "WEBP", quality=70, method=6)
    else:
        (drawn if drawn.mode == "1" else drawn.quantize(128, dither=Image.Dither.NONE)).save(out, "PNG", optimize=True)
    return out.getvalue()


def _canvas(width: int, height: int, colour: Colour) -> tuple[Picture, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), colour)
    return image, ImageDraw.Draw(image)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)  # Pillow's own, Latin letters only: the same on every machine


def _centred(draw: ImageDraw.ImageDraw, top: int, text: str, size: int, colour: Colour) -> None:
    draw.text((draw.im.size[0] / 2, top), text, font=_font(size), fill=colour, anchor="ma")


def _axes(title: str) -> tuple[Picture, ImageDraw.ImageDraw, tuple[int, int, int, int]]:
    image, draw = _canvas(900, 520, (255, 255, 255))
    plot = (80, 80, 860, 460)
    draw.text((80, 26), title, font=_font(28), fill=INK)
    for step in range(6):
        y = plot[3] - (plot[3] - plot[1]) * step // 5
        draw.line((plot[0], y, plot[2], y), fill=(222, 226, 232), width=1)
        draw.text((68, y - 12), str(step * 20), font=_font(18), fill=(110, 120, 136), anchor="ra")
    draw.line((plot[0], plot[1], plot[0], plot[3], plot[2], plot[3]), fill=INK, width=2)
    return image, draw, plot


def _placed(plot: tuple[int, int, int, int], x: Iterable[float], y: Iterable[float]) -> list[tuple[float, float]]:
    """Where points of the unit square lie in the picture."""
    left, top, right, bottom = plot
    return [(left + a * (right - left), bottom - b * (bottom - top)) for a, b in zip(x, y, strict=True)]


def _seal(draw: ImageDraw.ImageDraw, x: int, y: int, colour: Colour) -> None:
    teeth = [(x + r * cos(a), y + r * sin(a)) for i in range(48) for a, r in ((tau * i / 48, 74 if i % 2 else 64),)]
    draw.polygon(teeth, fill=colour)
    draw.ellipse((x - 50, y - 50, x + 50, y + 50), outline=PAPER, width=4)
    draw.text((x, y - 24), "100%", font=_font(36), fill=PAPER, anchor="ma")


def _ridge(random: np.random.Generator, width: int) -> np.ndarray:
    """Heights 0 to 1 of a rough line: noise at six scales, each half as strong as the one before."""
    line = np.zeros(width)
    for octave in range(6):
        knots = random.random(3 * 2**octave + 2)
        line += np.interp(np.linspace(0, len(knots) - 1, width), np.arange(len(knots)), knots) / 2**octave
    return np.asarray((line - line.min()) / np.ptp(line))


def _wood(width: int, height: int, seed: int) -> Picture:
    random = np.random.default_rng(seed)
    grain = np.cumsum(random.uniform(-1, 1, (height, 1)), axis=0)
    wave = 9 * np.sin(np.linspace(0, 9, width))[None, :] * np.sin(np.linspace(0, 3, height))[:, None]
    tone = (np.sin((grain * 1.1 + wave) / 3) + 1)[..., None] * 14
    return Image.fromarray(np.clip(np.asarray((148, 104, 66)) + tone, 0, 255).astype(np.uint8))


def _shadowed(image: Picture, box: tuple[int, int, int, int], colour: Colour) -> None:
    shadow = Image.new("L", image.size)
    ImageDraw.Draw(shadow).rounded_rectangle((box[0] + 14, box[1] + 18, box[2] + 14, box[3] + 18), 16, fill=150)
    image.paste((30, 20, 14), mask=shadow.filter(ImageFilter.GaussianBlur(14)))
    ImageDraw.Draw(image).rounded_rectangle(box, 14, fill=colour)


def _mug(image: Picture, x: int, y: int, radius: int) -> None:
    shadow = Image.new("L", image.size)
    reach = radius * 1.12
    ImageDraw.Draw(shadow).ellipse((x - reach + 20, y - reach + 26, x + reach + 20, y + reach + 26), fill=150)
    image.paste((30, 20, 14), mask=shadow.filter(ImageFilter.GaussianBlur(18)))
    draw = ImageDraw.Draw(image)
    for size, colour in ((1.12, (226, 230, 236)), (0.96, (246, 248, 250)), (0.86, (112, 66, 36)), (0.8, (152, 98, 56))):
        r = radius * size
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _photograph(image: Picture, seed: int) -> Picture:
    """What a phone adds: darker corners, and a little noise."""
    width, height = image.size
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = 1 - 0.22 * (x**2 + y**2) / 2
    noise = np.random.default_rng(seed).integers(-4, 5, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(image) * light[..., None] + noise, 0, 255).astype(np.uint8))
