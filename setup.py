"""The repository root is the package `rackfocus`; list its sub-packages so that a new folder cannot be forgotten."""

from setuptools import find_packages, setup

CODE = ["nodes", "nodes.*", "pipelines", "pipelines.*", "training", "training.*", "weights", "weights.*"]

setup(
    packages=["rackfocus"] + [f"rackfocus.{name}" for name in find_packages(include=CODE)],
    package_dir={"rackfocus": "."},
    package_data={
        "rackfocus": ["weights_manifest.json", "web/**/*", "samples/*", "locales/*/*.json", "subgraphs/*.json"]
    },
)
