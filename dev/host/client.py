"""Talk to a running ComfyUI: upload, queue, wait with progress, interrupt, fetch pictures.

client = Client("http://127.0.0.1:8188")
run = client.run(prompt)            # API form; dev/workflows/convert.py makes it from a workflow file
pictures = client.pictures(run, "9")
"""

import io
import json
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import requests
import websocket
from PIL import Image

from .errors import RunError, execution_error, validation_error


@dataclass
class Run:
    """What a finished prompt left. Node ids are strings."""

    prompt_id: str
    outputs: dict  # node id -> what its `ui` held, for example {"images": [{filename, subfolder, type}]}
    cached: set  # nodes the host did not run again
    executed: list  # nodes that did run, in order
    seconds: float
    messages: list = field(repr=False, default_factory=list)  # (type, data) as in the host's history


class Client:
    """One connection to the host. Not for use from several threads, except `interrupt`."""

    def __init__(self, url, timeout=30):
        self.url, self.timeout = url.rstrip("/"), timeout
        self.id = uuid.uuid4().hex
        self.session = requests.Session()
        self.session.trust_env = False  # a proxy for the outer world is not for this machine
        self._socket = None
        self._early = {}  # prompt id -> events that came while waiting for another prompt
        self._info = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.session.close()

    def get(self, path, **params):
        """GET a JSON answer."""
        answer = self.session.get(self.url + path, params=params, timeout=self.timeout)
        answer.raise_for_status()
        return answer.json()

    def _post(self, path, **arguments):
        return self.session.post(self.url + path, timeout=self.timeout, **arguments)

    def object_info(self, fresh=False):
        """Every node type the host knows: {type: {input, input_order, output, ...}}; fetched once unless `fresh`."""
        if self._info is None or fresh:
            self._info = self.get("/object_info")
        return self._info

    def upload(self, picture, name=None, subfolder=""):
        """Put a picture into the host's input folder; returns the text for a LoadImage widget.

        picture: path, encoded bytes (then `name` is needed), or PIL image (saved as PNG).
        """
        if isinstance(picture, Image.Image):
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            name, picture = name or "image.png", buffer.getvalue()
        elif not isinstance(picture, bytes):
            name, picture = name or Path(picture).name, Path(picture).read_bytes()
        answer = self._post(
            "/upload/image", files={"image": (name, picture)}, data={"overwrite": "true", "subfolder": subfolder}
        )
        answer.raise_for_status()
        stored = answer.json()
        return f"{stored['subfolder']}/{stored['name']}" if stored["subfolder"] else stored["name"]

    def queue(self, prompt, workflow=None):
        """Queue a prompt in API form, return its id. Raises RunError if any node of it is refused.

        workflow: the same in UI form, to be stored in the pictures it saves.
        """
        self._connect()
        extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else {}
        answer = self._post("/prompt", json={"prompt": prompt, "client_id": self.id, "extra_data": extra})
        body = answer.json()
        if "prompt_id" not in body:
            raise validation_error(prompt, body)
        if body.get("node_errors"):  # the host runs the outputs that are fine and says nothing more of the others
            self._post("/queue", json={"delete": [body["prompt_id"]]})
            self.interrupt(body["prompt_id"])
            raise validation_error(prompt, body)
        return body["prompt_id"]

    def run(self, prompt, *, workflow=None, on_progress=None, timeout=600):
        """Queue and wait; see `queue` and `wait`."""
        return self.wait(self.queue(prompt, workflow), on_progress=on_progress, timeout=timeout)

    def wait(self, prompt_id, *, on_progress=None, timeout=600):
        """Wait for a prompt and return its Run.

        on_progress(node_id, value, maximum) is called as nodes report; an exception it raises ends the waiting.
        Raises RunError when a node failed or the run was interrupted, TimeoutError after `timeout` seconds.
        """
        executed, blocked, start = [], [], time.monotonic()
        while True:
            event = self._next_event(prompt_id, start + timeout)
            if event is None:  # finished; the socket lost the end of it
                break
            kind, data = event
            if kind == "executing":
                if data.get("node") is None:
                    break
                executed.append(str(data["node"]))
            elif kind == "execution_error":
                blocked.append(data)  # of an ExecutionBlocker the host's record says nothing
            elif kind == "progress" and on_progress is not None:
                on_progress(str(data["node"]), data["value"], data["max"])
        self._early.pop(prompt_id, None)
        entry = self.history(prompt_id)
        messages = [tuple(message) for message in entry["status"]["messages"]]
        for kind, data in messages:
            if kind in ("execution_error", "execution_interrupted"):
                raise execution_error(kind, data)
        for data in blocked:
            raise execution_error("execution_error", data)
        cached = {node for kind, data in messages if kind == "execution_cached" for node in data["nodes"]}
        return Run(prompt_id, entry["outputs"], cached, executed, time.monotonic() - start, messages)

    def interrupt(self, prompt_id=None):
        """Ask the host to stop the running prompt (only if it is `prompt_id`, when given)."""
        self._post("/interrupt", json={"prompt_id": prompt_id} if prompt_id else {}).raise_for_status()

    def history(self, prompt_id):
        """The host's record of a finished prompt: {prompt, outputs, status, ...}; None while it is not finished."""
        return self.get(f"/history/{prompt_id}").get(prompt_id)

    def fetch(self, reference):
        """The bytes of an output file, given its {filename, subfolder, type}."""
        answer = self.session.get(self.url + "/view", params=reference, timeout=self.timeout)
        answer.raise_for_status()
        return answer.content

    def pictures(self, run, node_id):
        """The pictures a SaveImage or PreviewImage node of a run made, as PIL images."""
        output = run.outputs.get(str(node_id), {})
        return [Image.open(io.BytesIO(self.fetch(reference))) for reference in output.get("images", [])]

    def _connect(self):
        if self._socket is None:
            address = f"ws{self.url[4:]}/ws?clientId={self.id}"
            self._socket = websocket.create_connection(address, timeout=self.timeout, http_no_proxy=["*"])

    def _next_event(self, prompt_id, deadline):
        """The next (type, data) of this prompt; None if the prompt turns out to be finished."""
        if self._early.get(prompt_id):
            return self._early[prompt_id].pop(0)
        self._connect()
        while time.monotonic() < deadline:
            self._socket.settimeout(max(0.05, min(2.0, deadline - time.monotonic())))
            try:
                message = self._socket.recv()
            except websocket.WebSocketTimeoutException:
                if self.history(prompt_id) is not None:
                    return None
                continue
            except (websocket.WebSocketException, OSError) as error:
                text = f"The host closed the connection during a run ({error}); its log says why."
                raise RunError(text, kind="host") from error
            if not isinstance(message, str) or not message:  # preview pictures come as bytes
                continue
            event = json.loads(message)
            data = event.get("data") or {}
            if data.get("prompt_id") == prompt_id:
                return event["type"], data
            if data.get("prompt_id"):
                self._early.setdefault(data["prompt_id"], []).append((event["type"], data))
        raise TimeoutError(f"Prompt {prompt_id} did not finish in time.")
