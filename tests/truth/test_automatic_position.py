"""The automatic input position of learn2refocus on path-traced photographs whose focus is known."""

from rackfocus.dev.bench.truth import scenes
from rackfocus.pipelines.learn2refocus import position_at
from rackfocus.pipelines.optics.sharpest import sharpest_disparity


def errors(as_8_bit: bool) -> list[float]:
    """For each photo of the focal stacks: |error| in frames, where a scene's nine frames span the scale 0..8."""
    found = []
    for scene in scenes():
        focus = [1 / m for m in scene.meta["stack_focus_m"]]
        step = (focus[0] - focus[-1]) / (len(focus) - 1)
        for i, right in enumerate(focus):
            photo = scene.frame(f"stack_{i}")
            photo = (photo * 255).round() / 255 if as_8_bit else photo
            found.append(abs(sharpest_disparity(photo, 1 / scene.depth) - right) / step)
    return found


def test_mean_error_in_frames_of_the_stack():
    for as_8_bit in (False, True):
        found = errors(as_8_bit)
        assert sum(found) / len(found) < 0.65 and sorted(found)[len(found) // 2] < 0.6


def test_mean_error_in_positions():
    """On the dioptre scale itself the scenes, 0.9 m and farther, lie between positions 7.5 and 8."""
    found = []
    for scene in scenes():
        for i, metres in enumerate(scene.meta["stack_focus_m"]):
            found.append(
                abs(
                    position_at(sharpest_disparity(scene.frame(f"stack_{i}"), 1 / scene.depth))
                    - position_at(1 / metres)
                )
            )
    assert sum(found) / len(found) < 0.03
