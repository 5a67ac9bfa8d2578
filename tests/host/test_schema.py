import json

from rackfocus.dev.host.schema import FILE, schema


def test_no_workflow_breaks_unseen(object_info):
    """A changed input, default, order or output shows in tests/data/schema.json (python -m dev.host schema)."""
    assert json.dumps(schema(object_info)) == json.dumps(json.loads(FILE.read_text(encoding="ascii")))


def test_the_snapshot_sees_a_changed_default(object_info):
    changed = json.loads(json.dumps(object_info))
    changed["RefocusLens"]["input"]["required"]["strength"][1]["default"] += 1
    assert schema(changed) != schema(object_info)
