"""Kernels as copies of one process that has imported what most notebooks import.

A notebook spends six seconds on importing torch, SciPy and the rest; a copy of a process that has
done so spends none. The package itself is not among the imports: a notebook takes that of its own
checkout. Copies are made where that is safe, on Linux; elsewhere a kernel starts as Jupyter's do.
"""

import os
import sys
from importlib.metadata import EntryPoint
from multiprocessing import get_context, parent_process
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from threading import Thread
from typing import Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

FORKS, OURS = get_context("forkserver"), ("semirobust", "book")


def offer(name: str) -> None:
    """Let Jupyter start copies where a kernel's description asks for this name."""
    entry = EntryPoint(name, f"{__name__}:Copied", KernelProvisionerFactory.GROUP_NAME)
    KernelProvisionerFactory.instance().provisioners[name] = entry
    FORKS.set_forkserver_preload(["book._ext.imported"])
    ensure_running()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that asked for it has died, however that came about."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _kernel(file: str, env: dict[str, str], folder: str) -> None:
    from ipykernel.kernelapp import launch_new_instance

    from book._ext import imported

    Thread(target=_end_with_parent, daemon=True).start()
    os.setsid()
    os.chdir(folder)
    os.environ.update(env)
    sys.path[:] = [folder for folder in imported.PATH if folder]
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]
    launch_new_instance(["-f", file, f"--IPKernelApp.parent_handle={os.getppid()}"])


class Process(ForkServerProcess):
    """A copy, with the names that ``subprocess`` has for what one does with a process."""

    stdin = stdout = stderr = None

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        return self.exitcode

    def wait(self) -> int | None:
        """Wait for its end and return it."""
        self.join()
        return self.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(cast("int", self.pid), number)


class Copied(LocalProvisioner):
    """Starts a kernel as a copy; stops and watches it as Jupyter does a process of its own."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start a copy that serves the connection file of a command."""
        folder = str(kwargs.get("cwd") or Path.cwd())
        given = (cmd[cmd.index("-f") + 1], dict(kwargs["env"]), folder)
        copy = Process(target=_kernel, args=given)
        copy.start()
        self.process, self.pid = cast("Any", copy), copy.pid
        return self.connection_info
