"""Processes of tests: Ctrl-C reaches them wherever the suite was started, and none outlives its test."""

import subprocess
import sys
import threading
from contextlib import contextmanager

# In the background of a script SIGINT is ignored, which children inherit; Python then raises no KeyboardInterrupt.
_INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


@contextmanager
def running(code, *arguments, seconds=120, **options):
    """A Python process of this code; it is killed at the end, or after so many seconds, which ends all waiting."""
    command = [sys.executable, "-c", _INTERRUPTIBLE + code, *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with subprocess.Popen(command, **options) as process:
        alarm = threading.Timer(seconds, process.kill)
        alarm.start()
        try:
            yield process
        finally:
            alarm.cancel()
            process.kill()
