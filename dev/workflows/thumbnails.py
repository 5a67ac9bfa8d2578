"""Square thumbnails for the template browser, 480 pixels wide: what each workflow makes of the sample.

Nobody may ship the weights of Genfocus, so those of its workflows are drawings of the graph; those of learn2refocus
are frames of the sample's stack, and say that they are not the model's.
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageSequence

from ..host.paths import ROOT
from .convert import to_prompt
from .drawing import draw

SAMPLES = Path(ROOT) / "samples"
SIDE = 480


def square(picture, side=SIDE) -> Image.Image:
    """Its middle, cut square."""
    left, top = (picture.width - min(picture.size)) // 2, (picture.height - min(picture.size)) // 2
    box = (left, top, left + min(picture.size), top + min(picture.size))
    return picture.convert("RGB").crop(box).resize((side, side), Image.Resampling.LANCZOS)


def sheet(pictures, columns) -> Image.Image:
    """Square pictures side by side, row by row, with two pixels between them."""
    side = (SIDE - 2 * (columns - 1)) // columns
    out = Image.new("RGB", (SIDE, SIDE))
    for i, picture in enumerate(pictures):
        out.paste(square(picture, side), (i % columns * (side + 2), i // columns * (side + 2)))
    return out


def captioned(picture, text) -> Image.Image:
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, SIDE - 30, SIDE, SIDE), fill="black")  # the page's own badge lies at the top
    pen.text((10, SIDE - 24), text, fill="white", font_size=16)
    return picture


def boxed(picture) -> Image.Image:
    """The whole picture in a square, with its own background above and below."""
    out = Image.new("RGB", (2 * SIDE, 2 * SIDE), picture.getpixel((0, 0)))
    picture = picture.resize((2 * SIDE, round(2 * SIDE * picture.height / picture.width)), Image.Resampling.LANCZOS)
    out.paste(picture, (0, (2 * SIDE - picture.height) // 2))
    return out.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def result(client, workflow) -> Image.Image:
    """The workflow run as it is shipped: its film or its stack as a sheet, else the last picture it saves."""
    prompt = to_prompt(workflow, client.object_info())
    run = client.run(prompt)
    made = [client.pictures(run, i) for i, node in prompt.items() if node["class_type"].startswith("Save")]
    if getattr(made[-1][0], "is_animated", False):
        frames = [frame.copy() for frame in ImageSequence.Iterator(made[-1][0])]
        return sheet([frames[round(i * (len(frames) - 1) / 3)] for i in range(4)], 2)
    stacks = [pictures for pictures in made if len(pictures) == 9]
    return sheet(stacks[0], 3) if stacks else square(made[-1][0])


def drawing(workflow) -> Image.Image:
    return boxed(draw(workflow))


def not_the_models(name) -> Image.Image:
    """For a workflow of learn2refocus: frames such as it makes, from the sample."""
    with Image.open(SAMPLES / "chess_stack.webp") as file:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(file)]
    with Image.open(SAMPLES / "chess.jpg") as file:
        sharp = file.convert("RGB")
    picture = {"1": square(frames[3]), "2": square(sharp), "3": sheet(frames[::2][:4], 2)}[name.split()[1]]
    return captioned(picture, "rendered, not the model's")
