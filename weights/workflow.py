"""What a workflow says of the files it needs, made from the manifest so that the two cannot drift."""
from ..pipelines.engines import weight_files


def model_entries(values) -> list[dict]:
    """Values of a node's widgets -> its `properties.models`: [{name, url, directory}] for those the manifest knows.

    The host's page offers these when a file is missing; name equals the widget's value.
    """
    known = {f.name: {"name": f.name, "url": f.url, "directory": f.folder} for f in weight_files() if f.url}
    return [known[v] for v in dict.fromkeys(v for v in values if isinstance(v, str)) if v in known]
