"""locales/: what the page shows of the nodes in each language, held against the schema."""

import json
import re

import pytest

from rackfocus.dev.host.texts import ENGLISH, SIGNS, TRANSLATED, english, file, flat, kept, ours, read

# Numbers, units behind them, and names that no language translates.
KEPT = re.compile(r"-?\d+(?:\.\d+)?|\b(?:px|mm|cm)\b|\b(?:genfocus|learn2refocus|optical:)|\b[A-Z]{3,}\w*|\w+_lora\b")
UNIT = re.compile(r"\d (m)\b|\b(1/m)\b")


def shown(tree, last):
    return {path: text for path, text in flat(tree).items() if path[-1] in last}


def said(text, object_info):
    """What a translation has to say as the English does."""
    found = set(KEPT.findall(text)) | {unit for pair in UNIT.findall(text) for unit in pair if unit}
    return found - {"HAS", "TIFF"} - set(ours(object_info))


def test_english_is_the_schemas(object_info):
    """Else: python -m dev.host schema."""
    assert read(ENGLISH) == english(object_info)


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_key_is_missing_or_left_over(language):
    """A missing one: its English is new or has changed. Translate it into locales/<language>/nodeDefs.json."""
    texts, translated = flat(read(ENGLISH)), flat(read(language))
    assert {path: text for path, text in texts.items() if path not in translated} == {}
    assert set(translated) - set(texts) == set()


@pytest.mark.parametrize("language", TRANSLATED)
def test_numbers_units_and_names_are_those_of_the_english(language, object_info):
    translated = flat(read(language))
    lost = {}
    for path, text in shown(read(ENGLISH), ("tooltip", "description")).items():
        missing = {word for word in said(text, object_info) if word.rstrip(":") not in translated[path]}
        if missing:
            lost[path] = missing
    assert not lost


@pytest.mark.parametrize("language", TRANSLATED)
def test_nothing_is_left_in_english(language):
    texts, translated = flat(read(ENGLISH)), flat(read(language))
    assert not [path for path, text in texts.items() if translated[path] == text]
    assert not [path for path, text in translated.items() if text.isascii()]


@pytest.mark.parametrize("language", (ENGLISH, *TRANSLATED))
def test_what_the_page_translates_holds_none_of_its_signs(language):
    assert not [text for text in flat(read(language)).values() if SIGNS & set(text)]


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_two_inputs_of_a_node_have_one_name(language):
    for node in read(language).values():
        for sockets in (node["inputs"], node["outputs"]):
            names = [socket["name"] for socket in sockets.values() if "name" in socket]
            assert len(set(names)) == len(names), names


def test_the_host_serves_them(client):
    served = client.get("/i18n")
    for language in (ENGLISH, *TRANSLATED):
        assert served[language]["nodeDefs"] == read(language)


def test_files_are_as_the_command_writes_them():
    for language in (ENGLISH, *TRANSLATED):
        text = file(language).read_text(encoding="ascii")
        assert text == json.dumps(json.loads(text), indent=1) + "\n"


def test_a_translation_goes_when_its_english_changes_and_moves_with_it():
    before = {"A": {"tooltip": "blur", "name": "x"}, "B": {"tooltip": "sharp"}}
    now = {"A": {"tooltip": "no blur", "name": "x"}, "C": {"tooltip": "sharp"}}
    translation = {"A": {"tooltip": "flou", "name": "X"}, "B": {"tooltip": "net"}}
    assert kept(before, now, translation) == {"A": {"name": "X"}, "C": {"tooltip": "net"}}
