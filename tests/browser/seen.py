"""What a view shows: its canvas as numbers, its line of text."""

import numpy as np

# The part of a canvas that holds a picture of this shape, averaged down to width x height.
SEEN = """([canvas, width, height]) => {
  const k = Math.min(canvas.width / width, canvas.height / height), small = new OffscreenCanvas(width, height);
  const context = small.getContext('2d'), size = [width * k, height * k];
  context.imageSmoothingQuality = 'high';
  const from = [(canvas.width - size[0]) / 2, (canvas.height - size[1]) / 2];
  context.drawImage(canvas, ...from, ...size, 0, 0, width, height);
  return [...context.getImageData(0, 0, width, height).data];
}"""
SAYS = "([line, text]) => line.textContent.includes(text)"


def seen(page, node, width, height):
    """[height, width, 3] in 0..1: the picture in a node's view, at that size."""
    numbers = page.page.evaluate(SEEN, [page.part(node, "picture"), width, height])
    return np.array(numbers, np.float32).reshape(height, width, 4)[..., :3] / 255


def says(page, node, text):
    """Wait until the line of a node's view holds the text."""
    page.page.wait_for_function(SAYS, arg=[page.part(node, "line"), text])


def drawn(page, node):
    """Wait until nothing is waiting to be drawn."""
    page.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.part(node, "picture")


def run_anew(page):
    """Press Run, with nothing in the host's cache: up to 0.3.7x it tells the page nothing of a node that lies there."""
    page.client.session.post(f"{page.client.url}/free", json={"free_memory": True}).raise_for_status()
    return page.run()


def error(a, b):
    """Mean absolute difference."""
    return float(np.abs(np.asarray(a) - np.asarray(b)).mean())
