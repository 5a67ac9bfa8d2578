"""What is queued, before the host looks at it: what the chosen engine does not read decides nothing.

The host runs a node again when any of its inputs differs from the last run's. A node that several engines share has
inputs of each of them, the seed of the diffusion engines among them, which a page draws anew at every Run. So in a
prompt that is queued, the inputs that `need` would leave aside are made equal: an optional one is left out, and a
required one has its default, also where it comes over a link. Then an unchanged graph is found in the host's cache,
with all that hangs on it, however it was queued. Which engine a node runs is read from the prompt; where that is not
certain (a model from a node of another pack, an engine over a link) the node is left as it is.
"""

from collections.abc import Iterator
from typing import Any

from .abilities import running_server
from .engines import DEFAULT, ENGINES, TASK_OF, brought, foreign, inputs, loader_inputs

LOADER = "LoadRefocusModel"


def listen() -> None:
    """Ask the host for every prompt that is queued from now on; nothing where ComfyUI is a library without a server."""
    server = running_server()
    if server is not None:
        server.add_on_prompt_handler(on_prompt)


def on_prompt(request):
    """The request of a prompt, its nodes settled in place; whatever else was sent passes as it is."""
    if isinstance(request, dict) and isinstance(request.get("prompt"), dict):
        settle(request["prompt"])
    return request


def settle(prompt: dict[str, Any]) -> None:
    """Make what the chosen engines do not read equal in a prompt of the API form, in place."""
    for kind, given in list(_nodes(prompt)):
        engine = _engine(given) if kind == LOADER else _engine_of_model(prompt, given)
        if engine is None:
            continue
        for i in _idle(kind, engine):
            if i.id in given and not _finishes(given, kind, i.id):
                if i.optional:
                    del given[i.id]
                else:
                    given[i.id] = i.default


def _idle(kind: str, engine: str) -> list:
    """The inputs of a node that the engine does not read."""
    if kind == LOADER:
        own = {i.id for i in ENGINES[engine].loader_inputs()}
        return [i for i in loader_inputs() if i.id not in own]
    task = TASK_OF[kind]
    return [i for i in inputs(task) if i.id in foreign(engine, task)]


def _finishes(given: dict, kind: str, name: str) -> bool:
    """Whether an input may be read by the engine that finishes a node's work, where its widget `finish` names one."""
    finish = given.get("finish")
    named = kind in TASK_OF and (finish == DEFAULT or isinstance(finish, list))  # a list: over a link
    return named and name in brought(DEFAULT, TASK_OF[kind])


def _nodes(prompt: dict) -> Iterator[tuple[str, dict]]:
    for node in prompt.values():
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict):
            kind = node.get("class_type")
            if isinstance(kind, str) and (kind == LOADER or kind in TASK_OF):
                yield kind, node["inputs"]


def _engine(given: dict) -> str | None:
    """The engine that LoadRefocusModel names, None where it is not known."""
    name = given.get("engine")
    return name if isinstance(name, str) and name in ENGINES else None


def _engine_of_model(prompt: dict, given: dict) -> str | None:
    """The engine of a node by its model: the default one where none is connected, None where it is not known."""
    link = given.get("model")
    if link is None:
        return DEFAULT
    if not (isinstance(link, list) and len(link) == 2 and isinstance(link[0], str)):
        return None
    for kind, loader in _nodes({"": prompt.get(link[0])}):
        if kind == LOADER and link[1] == 0:
            return _engine(loader)
    return None
