"""The resident process of a warm container: imports once, then forks a child for each training job.

It is the container's first process, and the local twin of SageMaker's managed warm pools. Whoever started the container
has its standard input, writes one JSON line a job there, ``{"log": path, "threads": n, "keep_model": true}``, and reads
one back, either ``{"ready": true}`` once, or ``{"exit_code": n}``, negative for a signal. ``/opt/ml`` is laid out anew
for each job by then. The end of standard input ends the container, a job that is running too.

The child gets what SageMaker's training toolkit would give the script: environment variables, arguments and working
directory come from the toolkit itself. The resident imports and does nothing else: a process that has once entered an
OpenMP region hangs its forked children in XGBoost and in histogram boosting.
"""

import atexit
import contextlib
import importlib
import io
import json
import os
import runpy
import select
import shutil
import signal
import sys
import traceback
from pathlib import Path

CODE = "/opt/ml/code"


def main() -> int:
    """Serve jobs until standard input ends."""
    sys.path.insert(0, CODE)
    from ensemble.worker import PRELOAD

    for name in (*PRELOAD, "sagemaker_training.environment", "sagemaker_training.params"):
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    print(json.dumps({"ready": True}), file=answers, flush=True)
    child_ended = wake_up_for_children()
    requests = io.FileIO(0, closefd=False)  # without a buffer: a line read is a line taken, and no more
    while line := requests.readline():
        pid = os.fork()
        if pid == 0:
            run_job(json.loads(line))
        status = wait_for(pid, child_ended)
        if status is None:
            return 0
        clean_up()
        print(json.dumps({"exit_code": os.waitstatus_to_exitcode(status)}), file=answers, flush=True)
    return 0


def wake_up_for_children() -> int:
    """Return a file descriptor that has something to read whenever a child has ended."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # what is not handled wakes nobody
    return reader


def wait_for(pid: int, child_ended: int) -> int | None:
    """Return the status of a job's process when it has ended, or None at the end of standard input."""
    while True:
        ready, _, _ = select.select([0, child_ended], [], [])
        if child_ended in ready:
            os.read(child_ended, 4096)
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return status
        elif not os.read(0, 1):  # nobody asks for another job before this one has ended
            return None


def run_job(request: dict) -> None:
    """Run the entry script as the toolkit would, and end this process with its exit code."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 1
    try:
        from sagemaker_training import environment

        job = environment.Environment()
        os.environ.update(job.to_env_vars())
        # The container is one of several on this machine, and has a part of its cores.
        os.environ["SM_NUM_CPUS"] = str(request["threads"])
        if not request["keep_model"]:  # whose writing can take longer than the fit
            del os.environ["SM_MODEL_DIR"]
        os.chdir(CODE)
        sys.argv = [job.user_entry_point, *job.to_cmd_args()]
        runpy.run_path(f"{CODE}/{job.user_entry_point}", run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # as at the end of any script
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def clean_up() -> None:
    """Kill what the job has left running, and remove what it has left in /tmp: the next one starts alone."""
    if os.getpid() != 1:  # outside of a container these would be others' processes and files
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    for path in Path("/tmp").iterdir():  # noqa: S108  # the container's own
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
