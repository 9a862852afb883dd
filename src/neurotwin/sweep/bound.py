"""`python -m neurotwin.sweep.bound PARENT MODULE [ARGUMENT ...]`: becomes `python -m MODULE`, and dies with its parent.

A driver that is killed cannot stop its trials. On Linux the kernel does it; elsewhere a trial goes on, and the lock of
its folder keeps a second one out.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, module: str, arguments: list[str]) -> None:
    """Does not return: the process becomes the module's."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
