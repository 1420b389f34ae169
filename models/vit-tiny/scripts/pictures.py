"""Draws labelled pictures: coloured shapes, and textures. The same seed gives the same pictures."""

import math
import random

from PIL import Image, ImageDraw, ImageFilter

COLOURS = {"red": (205, 40, 40), "green": (40, 155, 60), "blue": (45, 80, 205), "yellow": (235, 205, 45)}
SHAPES = ["circle", "square", "triangle"]
TEXTURES = ["stripes", "checkerboard", "dots", "noise"]
LABELS = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES] + TEXTURES


def picture(label: int, rng: random.Random, side: int) -> Image.Image:
    """A square picture of LABELS[label]. It is drawn at twice its size and made smaller, which smooths the edges."""
    name = LABELS[label].split()
    size = side * 2
    image = textured(name[0], rng, size) if len(name) == 1 else shaped(*name, rng, size)
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.002, 0.012)))
    return image.resize((side, side), Image.Resampling.BOX)


def shaped(colour: str, shape: str, rng: random.Random, size: int) -> Image.Image:
    """One shape anywhere on a quiet ground of grey."""
    shades = rng.choice([(20, 90), (90, 160), (160, 250)])
    image = gradient(rng.randint(*shades), rng.randint(*shades), rng.uniform(0, math.tau), size)
    draw = ImageDraw.Draw(image)
    fill = tuple(max(0, min(255, part + rng.randint(-22, 22))) for part in COLOURS[colour])
    radius = size * rng.uniform(0.26, 0.44)
    x, y = (rng.uniform(radius, size - radius) for _ in range(2))
    if shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill)
    else:
        corners = 4 if shape == "square" else 3
        # A square stands on a side and a triangle too, a little tilted at most.
        turn = math.radians((45 if corners == 4 else -90) + rng.uniform(-18, 18))
        angles = [turn + math.tau * corner / corners for corner in range(corners)]
        draw.polygon([(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles], fill)
    return image


def textured(texture: str, rng: random.Random, size: int) -> Image.Image:
    """A texture of two colours over the whole picture."""
    while True:
        one, two = ([rng.randint(0, 255) for _ in range(3)] for _ in range(2))
        if abs(brightness(one) - brightness(two)) > 70:
            break
    one, two = tuple(one), tuple(two)
    image = Image.new("RGB", (size, size), one)
    draw = ImageDraw.Draw(image)
    step = size / rng.uniform(4, 7)
    shift = rng.uniform(0, step)
    cells = range(-2, int(size / step) + 2)
    if texture == "stripes":
        angle = rng.choice([0, 45, 90, 135]) + rng.uniform(-15, 15)
        along, across = math.radians(angle), math.radians(angle + 90)
        for index in range(-12, 13):
            middle = (size / 2 + math.cos(across) * (index * step + shift), size / 2 + math.sin(across) * (index * step + shift))
            reach = (math.cos(along) * size * 1.5, math.sin(along) * size * 1.5)
            draw.line([middle[0] - reach[0], middle[1] - reach[1], middle[0] + reach[0], middle[1] + reach[1]], two, int(step / 2))
    elif texture == "checkerboard":
        for row in cells:
            for column in cells:
                if (row + column) % 2 == 0:
                    draw.rectangle((column * step + shift, row * step + shift, (column + 1) * step + shift, (row + 1) * step + shift), two)
    elif texture == "dots":
        radius = step * rng.uniform(0.22, 0.32)
        for row in cells:
            for column in cells:
                x, y = (column + 0.5 * (row % 2)) * step + shift, row * step + shift
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), two)
    else:
        grain = rng.randint(16, 28)
        field = Image.new("RGB", (grain, grain))
        field.putdata([one if rng.random() < 0.5 else two for _ in range(grain * grain)])
        image = field.resize((size, size), Image.Resampling.NEAREST)
    return image


def gradient(start: int, end: int, angle: float, size: int) -> Image.Image:
    """Grey that runs from one shade to another."""
    coarse = 8
    image = Image.new("L", (coarse, coarse))
    along = [(math.cos(angle) * (x - 3.5) + math.sin(angle) * (y - 3.5)) / 10 + 0.5 for y in range(coarse) for x in range(coarse)]
    image.putdata([round(start + (end - start) * part) for part in along])
    return image.resize((size, size), Image.Resampling.BILINEAR).convert("RGB")


def brightness(colour: list[int]) -> float:
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
