"""The command of this package: one subcommand for each module of COMMANDS; see --help.

A command is a module with

    SUMMARY            one line
    arguments(parser)  adds what it takes to an argparse parser
    run(given)         does it, and returns the exit code
"""

import argparse
import sys
from importlib import import_module

from ..pipelines.image.checks import RefocusError

COMMANDS = ("simulate", "train", "validate", "sample")
STOPPED = 130  # exit code after Ctrl-C, as shells have it


class Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Text as it is written, and the default behind each option."""


def main(arguments=None) -> int:
    """0: done. 1: something went wrong, or a part of it. 2: wrong call. 130: stopped by Ctrl-C."""
    parser = argparse.ArgumentParser("rackfocus.training", description="Data, training and validation of DiffCamera.")
    choices = parser.add_subparsers(dest="command", required=True)
    modules = {name: import_module(f".{name}", __package__) for name in COMMANDS}
    for name, module in modules.items():
        command = choices.add_parser(name, help=module.SUMMARY, description=module.__doc__, formatter_class=Help)
        module.arguments(command)
    given = parser.parse_args(arguments)
    try:
        return modules[given.command].run(given)
    except RefocusError as error:
        print(f"rackfocus.training: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What is finished stays: the same command goes on from there.", file=sys.stderr)
        return STOPPED
