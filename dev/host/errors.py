"""What the host says about a prompt it refused or could not finish, as one exception."""

from .paths import UserError


class RunError(UserError):
    """A prompt that failed.

    kind: "validation" (refused before it ran), "execution", "interrupted", or "host" (the process is gone).
    node_id, node_type, message: of the first failing node; errors: all of them as (node_id, node_type, message).
    """

    def __init__(self, text, *, kind, errors=(), traceback=""):
        super().__init__(text)
        self.kind, self.errors, self.traceback = kind, list(errors), traceback
        self.node_id, self.node_type, self.message = self.errors[0] if self.errors else (None, None, text)


def _listing(errors):
    return "\n".join(f"node {node_id} ({node_type}): {message}" for node_id, node_type, message in errors)


def _sentence(error):
    return f"{error['message']}: {error['details']}" if error.get("details") else error["message"]


def validation_error(prompt, body):
    """From the answer to POST /prompt."""
    errors = []
    for node_id, found in body.get("node_errors", {}).items():
        errors += [(node_id, found["class_type"], _sentence(error)) for error in found["errors"]]
    general = body.get("error") or {}
    if not errors and isinstance(general, dict):
        node_id = (general.get("extra_info") or {}).get("node_id")
        if node_id is not None:
            errors = [(node_id, prompt.get(node_id, {}).get("class_type"), _sentence(general))]
    text = _listing(errors) or (_sentence(general) if isinstance(general, dict) and general else str(body))
    return RunError(text, kind="validation", errors=errors)


def execution_error(kind, data):
    """From an execution_error or execution_interrupted message."""
    interrupted = kind == "execution_interrupted"
    message = "interrupted" if interrupted else data["exception_message"].strip()
    errors = [(str(data["node_id"]), data["node_type"], message)]
    trace = "".join(data.get("traceback") or [])
    kind = "interrupted" if interrupted else "execution"
    return RunError(_listing(errors), kind=kind, errors=errors, traceback=trace)
