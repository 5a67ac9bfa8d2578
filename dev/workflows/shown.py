"""Which rows of widgets the page shows of a node: what web/view/shown.js makes of the marks in /object_info."""

import re

from .widgets import inputs_of, stored_order

UNKNOWN = object()


def shown_rows(info, given):
    """Names of the rows: inputs that act, helpers of theirs, and "more" where rare ones are folded away.

    given: {input: an Output of another node, or a widget's value}; what is not in it has its default.
    """
    entries = {entry.name: entry for entry in inputs_of(info)}

    def value_of(name):
        at, _, widget = name.partition(".")
        value = given.get(at, entries[at].default if at in entries and entries[at].is_widget else None)
        if not hasattr(value, "node"):
            return value
        if not widget:
            return UNKNOWN
        before = {entry.name: entry for entry in inputs_of(value.node.info)}
        return value.node.given.get(widget, before[widget].default) if widget in before else UNKNOWN

    def acts(entry):
        return acts_with(entry.options.get("rackfocus", {}).get("acts", [{}]), value_of)

    rows, folded, last = [], False, ""
    for entry in stored_order(info):
        if isinstance(entry, str):  # a helper, of the input before it
            if last in rows:
                rows.append(f"{last} {entry}")
            continue
        last = entry.name
        if not hasattr(given.get(last), "node") and not acts(entry):
            continue
        if entry.options.get("advanced") and not hasattr(given.get(last), "node"):
            folded = True
            continue
        rows.append(last)
    return rows + ["more"] * folded


def acts_with(rows, value_of):
    """Whether one of the rows of an input holds, with value_of(name) as the values that they ask for."""
    return any(all(_holds(condition, value_of(name)) for name, condition in row.items()) for row in rows)


def _holds(condition, value):
    if value is UNKNOWN:
        return True
    if isinstance(condition, dict) and "match" in condition:
        return not isinstance(value, str) or re.search(condition["match"], value, re.MULTILINE) is not None
    if isinstance(condition, dict):
        return value not in condition["not"]
    return value in condition
