import requests

from rackfocus.dev.host.node_rules import node_classes


def ours(object_info):
    return {name: info for name, info in object_info.items() if info["python_module"] == "custom_nodes.rackfocus"}


def test_every_node_is_registered(root, object_info):
    sources = [path.read_text(encoding="utf-8") for path in (root / "nodes").rglob("*.py")]
    written = {name for source in sources for name in node_classes(source)}
    assert set(ours(object_info)) == written


def test_loads_without_complaint(host):
    lines = [line for line in host.log_text().splitlines() if "custom_nodes/rackfocus" in line]
    assert lines and not [line for line in lines if "FAILED" in line or "Error" in line or "Cannot" in line]


def test_every_input_says_what_it_does(object_info):
    silent = []
    for name, info in ours(object_info).items():
        assert info["description"] and info["category"].split("/")[0] == "Rackfocus", name
        for section in ("required", "optional"):
            for key, spec in info["input"].get(section, {}).items():
                if len(spec) < 2 or not spec[1].get("tooltip"):
                    silent.append(f"{name}.{key}")
    assert not silent


def test_page_opens(host):
    page = requests.get(host.url, timeout=10)
    assert page.status_code == 200 and "<title>ComfyUI" in page.text


def test_the_page_loads_the_script_that_keeps_seeds(host):
    scripts = requests.get(f"{host.url}/extensions", timeout=10).json()
    (script,) = [name for name in scripts if name.endswith("/seeds.js")]
    text = requests.get(host.url + script, timeout=10).text
    assert "nodeCreated" in text and '"control_after_generate") widget.value = "fixed"' in text
