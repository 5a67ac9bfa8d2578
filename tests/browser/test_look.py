"""Ways to look at a scene without a host: the overlay's colours and lines, and what is seen where there is no WebGL."""

import pytest

# Left to right: in front of the focal plane, in focus, behind it.
LOOK = """async (withoutWebGL) => {
  const { Look } = await import("http://pack/look.js");
  const width = 96, height = 32, canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  context.fillStyle = "rgb(128, 128, 128)";
  context.fillRect(0, 0, width, height);
  const data = Float32Array.from({ length: width * height }, (_, i) => [0.9, 0.5, 0.1][Math.floor((i % width) / 32)]);
  const look = new Look(() => {});
  look.setScene({ bitmap: await createImageBitmap(canvas), plane: { data, width, height } });
  const how = { inverted: false, scale: 1, offset: 0 };
  const lens = { how, focus: 0.5, strength: 20, nearFactor: 1, farFactor: 1, slab: 0 };
  const { getContext } = HTMLCanvasElement.prototype;
  if (withoutWebGL) HTMLCanvasElement.prototype.getContext = function (kind, ...given) {
    return kind === "webgl2" ? null : getContext.call(this, kind, ...given);
  };
  look.draw(context, { x: 0, y: 0, width, height }, withoutWebGL ? "live" : "focus", lens);
  HTMLCanvasElement.prototype.getContext = getContext;
  const { why } = look;
  look.dispose();
  return [[...context.getImageData(0, 0, width, height).data], why];
}"""


def zones(pixels):
    """{zone: rows of (red, green, blue)}, each 32 x 32."""
    rows = [[pixels[4 * (y * 96 + x) : 4 * (y * 96 + x) + 3] for x in range(96)] for y in range(32)]
    return {name: [row[32 * i : 32 * i + 32] for row in rows] for i, name in enumerate(("front", "focus", "behind"))}


def apart(a, b):
    return max(abs(v - w) for v, w in zip(a, b, strict=True))


@pytest.mark.parametrize("without_webgl", [False, True])
def test_zones_differ_in_colour_and_for_those_who_see_none_in_lines(module_page, without_webgl):
    """In front blue with lines that rise, in focus green without, behind red with lines that fall; and that is what
    Live shows, with a reason, where the browser has no WebGL 2."""
    pixels, why = module_page.evaluate(LOOK, without_webgl)
    seen = zones(pixels)
    for zone, strongest in (("front", 2), ("focus", 1), ("behind", 0)):
        usual = seen[zone][13][10]
        assert usual.index(max(usual)) == strongest, (zone, usual)
    assert len({tuple(p) for row in seen["focus"] for p in row}) == 1
    for zone, way in (("front", -1), ("behind", 1)):
        usual = sorted(tuple(p) for row in seen[zone] for p in row)[512]
        lines = {(x, y) for y in range(32) for x in range(32) if apart(seen[zone][y][x], usual) > 9}
        assert lines and all((x + way, y + 1) in lines for x, y in lines if 0 <= x + way < 32 and y + 1 < 32), zone
    assert bool(why) is without_webgl and ("WebGL" in why or not without_webgl)
