"""Where ComfyUI keeps its models."""
import os
from pathlib import Path

from ..pipelines.optics.errors import RefocusError


def models_folder(given: str | None = None, pack: Path | None = None) -> Path:
    """The models folder: the one given, or that of the ComfyUI whose custom_nodes holds this pack.

    Raises RefocusError if it does not exist, or if none is given and the pack lies elsewhere.
    """
    if given:
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise RefocusError(f"the models folder {folder} does not exist, but an existing one is needed: give the "
                               "folder 'models' of your ComfyUI with --models.")
        return folder
    # Not resolved: a pack that is linked into custom_nodes belongs to that ComfyUI.
    pack = Path(os.path.abspath(pack or Path(__file__).parent.parent))
    for place in (pack, Path.cwd()):
        for folder in (place, *place.parents):
            if folder.name == "custom_nodes" and (folder.parent / "models").is_dir():
                return folder.parent / "models"
    raise RefocusError("the models folder is not known, because this pack does not lie in a ComfyUI's custom_nodes: "
                       "give the folder 'models' of your ComfyUI with --models.")
