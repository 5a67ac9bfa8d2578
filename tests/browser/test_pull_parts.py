"""web/view/clip.js and played.js: which kept frame is seen, its place on a sheet, frames kept while a pull plays."""

NEAREST = """async ([at, frames]) => {
  const { Clip } = await import('http://pack/clip.js');
  const clip = Object.assign(Object.create(Clip.prototype), { left: { at } });
  return frames.map((frame) => clip.nearest(frame));
}"""
SHEET = """async () => {
  const { Clip } = await import('http://pack/clip.js');
  const [columns, rows, w, h] = [3, 2, 4, 2], sheet = new OffscreenCanvas(columns * w, rows * h);
  const pen = sheet.getContext('2d'), data = new Float32Array(columns * w * rows * h);
  for (let i = 0; i < 5; i++) {
    const x = w * (i % columns), y = h * Math.floor(i / columns);
    pen.fillStyle = `rgb(${50 * i}, 0, 0)`;
    pen.fillRect(x, y, w, h);
    for (let j = 0; j < h; j++) for (let k = 0; k < w; k++) data[(y + j) * columns * w + x + k] = 100 * i + 10 * j + k;
  }
  const film = { cells: 5, columns };
  const clip = new Clip({ picture: film, plane: film, at: [0, 10, 20, 30, 40] }, sheet,
                        { data, width: columns * w, height: rows * h });
  return [0, 12, 40].map((frame) => {
    const { bitmap, plane } = clip.sceneOf(frame);
    return [bitmap.width, bitmap.height, bitmap.getContext('2d').getImageData(3, 1, 1, 1).data[0],
            plane.width, plane.height, [...plane.data]];
  });
}"""
PLAYED = """async () => {
  const { Played } = await import('http://pack/played.js');
  const pen = new OffscreenCanvas(60, 40).getContext('2d', { willReadFrequently: true }), played = new Played();
  const area = { x: 10, y: 0, width: 40, height: 40 }, pull = {};
  const fill = (colour) => { pen.fillStyle = colour; pen.fillRect(0, 0, 60, 40); };
  const colours = () => [5, 15, 45].map((x) => [...pen.getImageData(x, 20, 1, 1).data.slice(0, 3)]);
  played.madeOf(pull, 40);
  fill('#f00');
  played.keep(pen, area, 3, 20);
  fill('#00f');
  const drawn = [played.draw(pen, area, 4), played.draw(pen, area, 3)], seen = colours();
  played.madeOf(pull, 40);
  drawn.push(played.draw(pen, area, 3));
  played.keep(pen, area, 5, 1e6);
  drawn.push(played.draw(pen, area, 5));
  played.madeOf({}, 40);
  drawn.push(played.draw(pen, area, 3));
  return [drawn, seen];
}"""


def test_the_nearest_of_the_kept_frames_is_seen(module_page):
    assert module_page.evaluate(NEAREST, [[0, 10, 20], [0, 4, 6, 10, 14, 16, 20, 99]]) == [0, 0, 1, 1, 1, 2, 2, 2]
    assert module_page.evaluate(NEAREST, [[0], [0, 5]]) == [0, 0]


def test_a_frame_is_cut_from_its_place_on_the_sheet(module_page):
    for i, seen in zip((0, 1, 4), module_page.evaluate(SHEET), strict=True):
        plane = [100 * i + 10 * j + k for j in range(2) for k in range(4)]
        assert seen == [4, 2, 50 * i, 4, 2, plane]


def test_a_frame_that_was_played_is_drawn_again_until_anything_changes(module_page):
    drawn, seen = module_page.evaluate(PLAYED)
    red, blue = [255, 0, 0], [0, 0, 255]
    assert seen == [blue, red, red]
    assert drawn == [False, True, True, False, False]  # never drawn; twice; too many to keep; of another pull
