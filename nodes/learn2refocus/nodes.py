"""RefocusPositionSweep: all nine input positions of learn2refocus, side by side."""

from comfy_api.latest import io

from ...pipelines.image.checks import check_image
from ...pipelines.learn2refocus import GUIDANCE, POSITIONS, model_size, resize
from ...pipelines.learn2refocus.finish import contact_sheet
from ..host import CATEGORY, RefocusModelType, Schema, from_device, models_of, picture, seed_input, within_limits
from .run import run


class RefocusPositionSweep(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="RefocusPositionSweep",
            display_name="Refocus Position Sweep",
            category=CATEGORY,
            search_aliases=["learn2refocus", "input position", "contact sheet"],
            description="Makes the focal stack of learn2refocus from all nine input positions, small and in few steps, "
            "as a contact sheet: choose the row that looks right and give its number to "
            "FocalStackGenerate. Takes nine times as long as one stack of these settings.",
            inputs=[
                RefocusModelType.Input("model", tooltip="From LoadRefocusModel with the engine learn2refocus."),
                io.Image.Input("image", tooltip="The photo. Each image of a batch gives a sheet of its own."),
                io.Int.Input(
                    "steps",
                    default=6,
                    min=1,
                    max=200,
                    tooltip="Few are enough to choose by; FocalStackGenerate's 25 take four times as long.",
                ),
                io.Float.Input(
                    "guidance",
                    default=GUIDANCE,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="As in FocalStackGenerate; 1 takes half the time.",
                ),
                seed_input("The noise that all nine start from.", optional=False),
                io.Float.Input(
                    "max_megapixels",
                    default=0.1,
                    min=0.01,
                    max=4.0,
                    step=0.01,
                    tooltip="Size the model works at. Smaller is faster and shows less.",
                ),
                io.Int.Input(
                    "frame_width", default=160, min=16, max=2048, tooltip="Width of a frame on the sheet, in pixels."
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="sheet",
                    is_output_list=True,
                    tooltip="Row n, counted from 0 at the top, is input position n; its frames run "
                    "from near to far, and the photo's own has a white frame.",
                )
            ],
        )

    @classmethod
    @within_limits
    def execute(cls, model, image, steps, guidance, seed, max_megapixels, frame_width) -> io.NodeOutput:
        models = models_of(model, "learn2refocus")
        image = from_device(check_image(image))
        height, width = image.shape[1:3]
        small = resize(image, *model_size(height, width, max_megapixels))
        sheets = []
        for one in small.split(1):
            made = run(models, one, list(range(POSITIONS)), steps=steps, guidance=guidance, seed=seed, chunk=POSITIONS)
            sheets.append(contact_sheet((resize(from_device(frames), height, width) for frames in made), frame_width))
        return io.NodeOutput([picture(sheet) for sheet in sheets])
