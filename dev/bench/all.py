"""The four benches of README's tables, each in a process of its own: a peak of memory never falls."""

import argparse
import subprocess
import sys

BENCHES = ("optical", "genfocus", "diffcamera", "learn2refocus")


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    for name in BENCHES:
        code = subprocess.run([sys.executable, "-m", __package__, name]).returncode
        if code:
            sys.exit(code)
