"""Hand-checked cases of what the web page makes of a workflow file."""

import json

import pytest

from rackfocus.dev.workflows.build import Flow
from rackfocus.dev.workflows.convert import WorkflowError, load, to_prompt


def socket(name, kind, link=None, widget=False):
    return {"name": name, "type": kind, "link": link, **({"widget": {"name": name}} if widget else {})}


def node(number, kind, inputs=(), outputs=(), values=(), **more):
    outputs = [{"name": name, "type": name, "links": []} for name in outputs]
    entry = {"id": number, "type": kind, "inputs": list(inputs), "outputs": outputs, "widgets_values": values}
    return {**entry, "mode": 0, **more}


def image_chain(middle, links, primitive=(), save_inputs=None):
    """LoadImage (1) -> whatever `middle` holds -> SaveImage (9)."""
    first = node(1, "LoadImage", outputs=["IMAGE", "MASK"], values=["photo.png", "image"])
    last = node(9, "SaveImage", save_inputs or [socket("images", "IMAGE", links[-1][0])], values=["out"])
    return {"nodes": [first, *middle, last, *primitive], "links": links, "version": 0.4}


def test_seed_has_a_control_value_behind_it(object_info):
    values = [7, "randomize", 20, 8.0, "euler", "normal", 0.5]
    prompt = to_prompt({"nodes": [node(3, "KSampler", values=values)], "links": []}, object_info)
    inputs = prompt["3"]["inputs"]
    assert (inputs["seed"], inputs["steps"], inputs["cfg"]) == (7, 20, 8.0)
    assert (inputs["sampler_name"], inputs["denoise"]) == ("euler", 0.5)
    assert prompt["3"]["class_type"] == "KSampler" and prompt["3"]["_meta"]["title"] == "KSampler"


def test_missing_values_have_their_default_and_dicts_go_by_name(object_info):
    short = to_prompt({"nodes": [node(1, "ImageBlur", values=[5])], "links": []}, object_info)["1"]["inputs"]
    assert short == {"blur_radius": 5, "sigma": 1.0}
    named = node(1, "ImageBlur", values={"sigma": 2.5, "preview": "hidden"})
    assert to_prompt({"nodes": [named], "links": []}, object_info)["1"]["inputs"] == {"blur_radius": 1, "sigma": 2.5}


def test_upload_button_takes_a_value(object_info):
    mask = node(1, "LoadImageMask", values=["photo.png", "red", "image"])
    inputs = to_prompt({"nodes": [mask], "links": []}, object_info)["1"]["inputs"]
    assert inputs == {"image": "photo.png", "channel": "red"}


def test_link_wins_over_a_converted_widget(object_info):
    blur = node(
        2, "ImageBlur", [socket("image", "IMAGE", 1), socket("sigma", "FLOAT", 3, widget=True)], ["IMAGE"], [4, 1.0]
    )
    primitive = node(5, "PrimitiveNode", outputs=["FLOAT"], values=[2.25, "fixed"])
    links = [[1, 1, 0, 2, 0, "IMAGE"], [3, 5, 0, 2, 1, "FLOAT"], [2, 2, 0, 9, 0, "IMAGE"]]
    prompt = to_prompt(image_chain([blur], links, [primitive]), object_info)
    assert prompt["2"]["inputs"] == {"image": ["1", 0], "blur_radius": 4, "sigma": 2.25}
    assert set(prompt) == {"1", "2", "9"}


def test_reroutes_and_notes_vanish(object_info):
    chain = [node(2, "Reroute", [socket("", "*", 1)], ["*"]), node(3, "Reroute", [socket("", "*", 2)], ["*"])]
    notes = [node(20, "Note", values=["text"]), node(21, "MarkdownNote", values=["text"])]
    links = [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], [3, 3, 0, 9, 0, "*"]]
    prompt = to_prompt(image_chain(chain + notes, links), object_info)
    assert set(prompt) == {"1", "9"} and prompt["9"]["inputs"]["images"] == ["1", 0]


LINKS = [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 9, 0, "IMAGE"]]


def test_bypassed_node_passes_its_input_on(object_info):
    blur = node(2, "ImageBlur", [socket("image", "IMAGE", 1)], ["IMAGE"], [4, 1.0], mode=4)
    prompt = to_prompt(image_chain([blur], LINKS), object_info)
    assert set(prompt) == {"1", "9"} and prompt["9"]["inputs"]["images"] == ["1", 0]


def test_bypass_looks_for_an_input_of_the_right_type(object_info):
    inputs = [socket("destination", "MASK"), socket("source", "IMAGE", 1)]
    composite = node(2, "ImageCompositeMasked", inputs, ["IMAGE"], mode=4)
    assert to_prompt(image_chain([composite], LINKS), object_info)["9"]["inputs"]["images"] == ["1", 0]
    nothing = node(2, "MaskToImage", [socket("mask", "MASK")], ["IMAGE"], mode=4)
    assert "images" not in to_prompt(image_chain([nothing], LINKS), object_info)["9"]["inputs"]


def test_muted_node_takes_its_links_away(object_info):
    blur = node(2, "ImageBlur", [socket("image", "IMAGE", 1)], ["IMAGE"], [4, 1.0], mode=2)
    prompt = to_prompt(image_chain([blur], LINKS), object_info)
    assert set(prompt) == {"1", "9"} and prompt["9"]["inputs"] == {"filename_prefix": "out"}


def test_wrong_workflows_are_one_sentence(object_info, tmp_path):
    with pytest.raises(WorkflowError, match=r"does not have these node types of the workflow: Aaa, Zzz\."):
        to_prompt({"nodes": [node(1, "Zzz"), node(2, "Aaa"), node(3, "Muted", mode=2)], "links": []}, object_info)
    group = node(1, "5b1f4a5e-0d0e-4a53-9a3a-6f7a2f0c8e11")
    with pytest.raises(WorkflowError, match="subgraph"):
        to_prompt({"nodes": [group], "links": []}, object_info)
    with pytest.raises(WorkflowError, match="link 2 leads to no node"):
        to_prompt({"nodes": [node(9, "SaveImage", [socket("images", "IMAGE", 2)])], "links": []}, object_info)
    loop = [node(2, "Reroute", [socket("", "*", 2)], ["*"])]
    with pytest.raises(WorkflowError, match="circle"):
        to_prompt(image_chain(loop, [[2, 2, 0, 2, 0, "*"]]), object_info)
    with pytest.raises(WorkflowError, match="cannot be read"):
        load(tmp_path / "none.json")
    (tmp_path / "api.json").write_text(json.dumps({"1": {"class_type": "X"}}))
    with pytest.raises(WorkflowError, match="not a workflow in UI form"):
        load(tmp_path / "api.json")


def build(object_info):
    flow = Flow(object_info)
    empty = flow.node("EmptyImage", "Grey", width=33, height=21, color=0x808080)
    blur = flow.node("ImageBlur", image=empty["IMAGE"], blur_radius=2)
    save = flow.node("SaveImage", images=blur[0], filename_prefix="built")
    flow.lay_out(("All", [empty, flow.note("A note.")], [40, blur], [save]))
    return flow


def test_built_workflow_runs(object_info, client, tmp_path):
    flow = build(object_info)
    flow.save(tmp_path / "built.json")
    workflow = load(tmp_path / "built.json")
    prompt = to_prompt(workflow, object_info)
    assert prompt["1"]["inputs"] == {"width": 33, "height": 21, "batch_size": 1, "color": 0x808080}
    (picture,) = client.pictures(client.run(prompt, workflow=workflow), 3)
    assert picture.size == (33, 21) and json.loads(picture.info["workflow"]) == workflow
    assert flow.to_dict() == workflow


def test_built_workflow_is_what_the_page_expects(object_info):
    workflow = build(object_info).to_dict()
    blur = workflow["nodes"][1]
    assert workflow["version"] == 0.4 and workflow["links"][0] == [1, 1, 0, 2, 0, "IMAGE"]
    assert [entry["name"] for entry in blur["inputs"]] == ["image", "blur_radius", "sigma"]
    assert blur["inputs"][1]["widget"] == {"name": "blur_radius"} and blur["widgets_values"] == [2, 1.0]
    assert blur["outputs"] == [{"name": "IMAGE", "type": "IMAGE", "links": [2]}]
    assert blur["properties"] == {"cnr_id": "comfy-core", "ver": "0.3.75", "Node name for S&R": "ImageBlur"}


def test_builder_refuses_what_does_not_exist(object_info):
    flow = Flow(object_info)
    with pytest.raises(WorkflowError, match="no node type Nothing"):
        flow.node("Nothing")
    with pytest.raises(WorkflowError, match="no input 'radius'; it has image, blur_radius, sigma"):
        flow.node("ImageBlur", radius=3)
    with pytest.raises(WorkflowError, match="ImageBlur needs image"):
        flow.node("ImageBlur")
    mask = flow.node("SolidMask")
    with pytest.raises(WorkflowError, match=r"ImageBlur\.image takes IMAGE, and was given MASK"):
        flow.node("ImageBlur", image=mask["MASK"])
    with pytest.raises(WorkflowError, match="no output 'IMAGE'; it has MASK"):
        mask["IMAGE"]
