"""Five rooms: host, workflows, tiny, bench, pictures. One way to call them: `python -m dev.<room> <command>`.

Runs with nothing installed, and on a Python too old for the rest (3.7), as `dev.host setup` needs it.
"""

import importlib
import sys


def call(room, purpose, commands):
    """Run the command that the command line names: main() of one of the room's modules, with what is left of sys.argv.

    room: the package's name. commands: {command: (module, one sentence)}.
    A sentence for the user (a UserError) ends the run without a traceback.
    """
    from .host.paths import UserError

    name = "python -m " + room
    given = sys.argv[1] if len(sys.argv) > 1 else None
    if given not in commands:
        lines = ["", "usage: " + name + " <command> [--help]", ""]
        lines += [f"  {command:14s} {sentence}" for command, (_, sentence) in commands.items()]
        print(purpose.strip() + "\n".join(lines))
        asked = given in (None, "-h", "--help")
        sys.exit(0 if asked else f"\n{name} has no command {given}.")
    sys.argv = [name + " " + given] + sys.argv[2:]
    try:
        module = importlib.import_module("." + commands[given][0], room)
        if len(sys.argv) > 1 and not hasattr(module, "argparse"):
            print(module.__doc__ or "")
            sys.exit(0 if sys.argv[1] in ("-h", "--help") else f"{given} takes no arguments.")
        module.main()
    except UserError as error:
        sys.exit(f"{given}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"\n{given}: stopped.")
