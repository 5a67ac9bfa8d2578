"""The browser of the tests is found, or one sentence says what to do. Another front end is unpacked whole."""

import shutil
import zipfile
from pathlib import Path

import pytest

from rackfocus.dev.host import browser, frontend
from rackfocus.dev.host.paths import UserError


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without any browser; its programs lie in the folder that is returned."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(browser, "PLACES", ())
    monkeypatch.setattr(browser, "_own", lambda: None)
    monkeypatch.setattr(browser, "logged", refuse)
    return tmp_path


def refuse(command, what):
    raise UserError(f"{what} failed.")


def test_a_hint_at_a_package_is_no_browser(machine):
    program(machine, "chromium", "echo install it from elsewhere >&2; exit 1")
    wanted = program(machine, "google-chrome", "echo Google Chrome 150")
    assert browser.find() == wanted


def test_the_named_browser_is_taken_and_no_other(machine, monkeypatch):
    program(machine, "chromium", "echo Chromium 150")
    mine = program(machine, "mine", "echo Mine 1")
    monkeypatch.setenv("CHROMIUM", mine)
    assert browser.find() == mine
    monkeypatch.setenv("CHROMIUM", "/no/such/browser")
    assert browser.find() is None and "/no/such/browser does not start" in browser.missing()


def test_where_none_can_be_had_the_setup_goes_on_with_one_sentence(machine, capsys):
    browser.set_up()
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith("No browser was found: install Chromium") and told.endswith("out until then.")
    with pytest.raises(UserError, match="CHROMIUM=<path>"):
        browser.install()


def test_nothing_is_installed_where_none_is_wanted(machine, monkeypatch):
    asked = []
    monkeypatch.setattr(browser, "logged", lambda command, what: asked.append(command))
    monkeypatch.setenv("CHROMIUM", "none")
    with pytest.raises(UserError, match="asks for no browser"):
        browser.install()
    assert not asked


def test_debian_installs_its_own_and_reads_its_lists_first_where_they_are_empty(machine, monkeypatch):
    asked = []

    def apt(command, what):
        asked.append(command)
        if "install" in command and not any("update" in c for c in asked):
            raise UserError("no such package")
        if "install" in command:
            program(machine, "chromium", "echo Chromium 150")

    program(machine, "apt-get", "true")
    monkeypatch.setattr(browser, "_is_debian", lambda: True)
    monkeypatch.setattr(browser, "logged", apt)
    assert browser.install() == str(machine / "chromium")
    assert [next(w for w in c if w in ("install", "update")) for c in asked] == ["install", "update", "install"]


def test_elsewhere_playwright_installs_its_own(machine, monkeypatch):
    asked = []
    monkeypatch.setattr(browser, "_is_debian", lambda: False)
    monkeypatch.setattr(browser, "logged", lambda command, what: asked.append(command))
    monkeypatch.setattr(browser, "_own", lambda: "/playwright/chrome" if asked else None)
    assert browser.install() == "/playwright/chrome"
    assert asked[0][1:4] == ["-m", "playwright", "install"]


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry whose newest front end is 9.8.7."""

    def download(command, what):
        into = Path(command[command.index("-d") + 1])
        with zipfile.ZipFile(into / "comfyui_frontend_package-9.8.7-py3-none-any.whl", "w") as wheel:
            wheel.writestr("comfyui_frontend_package/static/index.html", "page")
            wheel.writestr("comfyui_frontend_package/__init__.py", "")

    monkeypatch.setattr(frontend, "CACHE", str(tmp_path))
    monkeypatch.setattr(frontend, "FOLDER", str(tmp_path / "frontends"))
    monkeypatch.setattr(frontend, "logged", download)
    return tmp_path


def test_the_newest_front_end_is_unpacked_and_kept(registry, monkeypatch):
    place = registry / "frontends" / "9.8.7"
    assert frontend.folder("newest") == str(place)
    assert sorted(p.name for p in place.iterdir()) == ["index.html"]
    assert [p.name for p in registry.iterdir()] == ["frontends"]
    monkeypatch.setattr(frontend, "logged", refuse)
    assert frontend.folder("9.8.7") == str(place)
    monkeypatch.setenv("RACKFOCUS_FRONTEND", "9.8.7")
    assert frontend.arguments() == ["--front-end-root", str(place)]
    shutil.rmtree(place)
    with pytest.raises(UserError, match=r"Fetching the front end 9\.8\.7 failed"):
        frontend.arguments()


def test_a_folder_without_a_page_is_told(tmp_path):
    with pytest.raises(UserError, match=r"holds no index\.html"):
        frontend.folder(str(tmp_path))
