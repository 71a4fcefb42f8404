"""A run of `local` for the tests in Python, which `examples` share. LOCAL_BINARY names another binary than target/debug/local."""

import os
import subprocess
from pathlib import Path

BINARY = os.environ.get("LOCAL_BINARY") or Path(__file__).resolve().parents[2] / "target/debug/local"


def environment(**variables):
    """These variables, and none of whoever runs the tests: a FORWARD_URL of theirs would change them."""
    return {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true", **variables}


class Program:
    """A run on a simulated platform, with its log in `folder`: `url` is where it serves."""

    def __init__(self, folder, **variables):
        self.log = folder / "local.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [BINARY, "--port", "0"], env=environment(**variables), stdout=subprocess.PIPE, stderr=log, text=True
            )
        ready = self.process.stdout.readline()
        if not ready.startswith("ready "):
            self.stop()
            raise AssertionError(self.log.read_text())
        self.url = ready.removeprefix("ready ").strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.terminate()
        self.process.wait()
