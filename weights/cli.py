"""The command of the pack: list | check | fetch; see --help."""

import argparse
import sys

from ..pipelines.image.checks import RefocusError
from .check import FOUND, MISSING, check_file, models_folder
from .convert import convert, unmade
from .fetch import fetch_file, not_right
from .manifest import WeightFile, still_needed, weight_files

ABOUT = """Files of the learned engines.

list   what there is: bytes, licence, folder
check  which files are here, and whether size and sha256 are right; exit code 1 if one is missing or wrong
fetch  download what an engine still needs, and make safetensors files of what came as .pt; shows the licences and asks
       first
"""


def main(arguments=None) -> int:
    """0: done and complete. 1: something is missing, wrong or could not be fetched. 2: wrong call or not agreed."""
    engines = list(dict.fromkeys(f.engine for f in weight_files()))
    parser = argparse.ArgumentParser(
        "rackfocus.weights", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("list", "check", "fetch"):
        command = commands.add_parser(name)
        nargs = None if name == "fetch" else "?"
        command.add_argument("engine", nargs=nargs, choices=engines, metavar=f"ENGINE ({', '.join(engines)})")
        if name != "list":
            command.add_argument("--models", help="the folder 'models' of your ComfyUI")
    commands.choices["check"].add_argument("--fast", action="store_true", help="compare sizes, not sha256")
    commands.choices["fetch"].add_argument(
        "--only", action="append", metavar="FILE", help="this file and no other; may be given several times"
    )
    commands.choices["fetch"].add_argument("--yes", action="store_true", help="the licences are accepted; do not ask")
    given = parser.parse_args(arguments)
    try:
        return {"list": list_files, "check": check, "fetch": fetch}[given.command](given)
    except RefocusError as error:
        print(f"rackfocus.weights: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What has come so far stays: fetch again to go on.", file=sys.stderr)
        return 1


def list_files(given) -> int:
    engine = None
    for file in weight_files(given.engine):
        if file.engine != engine:
            engine = file.engine
            print(engine)
        print(
            f"  {file.path}\n    {_size(file)}, licence {file.licence or 'unknown'}, into models/{file.folder}\n"
            f"    from {file.repository}, revision {file.revision or 'not pinned'}"
        )
        if file.group:
            print(f"    one file of the group {file.group} is enough")
    return 0


def check(given) -> int:
    models = models_folder(given.models)
    files = weight_files(given.engine)
    places = {f: check_file(f, models, hashes=not given.fast) for f in files}
    print(f"in {models}:")
    for file, place in places.items():
        said = place.said if place.state in (FOUND, MISSING) else f"{place.state}: {place.said}"
        print(f"  {file.engine}: {file.name}: {said}")
    needed = still_needed(files, lambda f: places[f].state == FOUND)
    wrong = [f for f in files if places[f].state not in (FOUND, MISSING)]
    for made in unmade(files, models):
        print(f"  {made}: not made yet of its .pt files, which fetch does")
    print(f"{sum(p.state == FOUND for p in places.values())} right, {len(wrong)} wrong, {len(needed)} still needed")
    return 1 if needed or wrong or unmade(files, models) else 0


def fetch(given) -> int:
    models = models_folder(given.models)
    files = weight_files(given.engine)
    if given.only:
        unknown = [n for n in given.only if n not in {f.path for f in files}]
        if unknown:
            raise RefocusError(
                f"{given.engine} has no file {unknown[0]}, but one of {', '.join(f.path for f in files)} is needed."
            )
        files = [f for f in files if f.path in given.only]
    places = {f: check_file(f, models) for f in files}
    wrong = [f for f in files if places[f].state not in (FOUND, MISSING)]
    if wrong:
        raise RefocusError(not_right(places[wrong[0]]))
    if given.only:  # a named file is wanted even if another of its group is here
        needed = [f for f in files if places[f].state == MISSING]
    else:
        needed = still_needed(files, lambda f: places[f].state == FOUND)
    if not needed:
        print(f"{given.engine}: nothing to fetch, all is in {models}")
        convert(weight_files(given.engine), models, print)
        return 0
    print(f"To fetch into {models}:")
    for file in needed:
        print(
            f"  {file.path} from {file.repository}, {_size(file)}, licence {file.licence or 'unknown'}, "
            f"into models/{file.folder}"
        )
    if not given.yes and not _agreed():
        print("Nothing was fetched: --yes accepts the licences without asking.", file=sys.stderr)
        return 2
    failed = 0
    for file in needed:
        try:
            print(f"{file.path}: {fetch_file(file, models)}")
        except RefocusError as error:
            failed += 1
            print(f"rackfocus.weights: {error}", file=sys.stderr)
    convert(weight_files(given.engine), models, print)
    return 1 if failed else 0


def _agreed() -> bool:
    try:
        return input("Fetch these, under these licences? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _size(file: WeightFile) -> str:
    return "size unknown" if file.bytes is None else f"{file.bytes:,} bytes"
