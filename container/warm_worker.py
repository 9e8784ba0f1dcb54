"""The resident process of a warm container: it imports the libraries once and forks a child for each training job.

It is the first process of the container, and corresponds to SageMaker's managed warm pools. First it writes ``{"ready":
true}``. The process that started the container then writes one JSON line per job to its standard input, ``{"log": path,
"threads": n, "keep_model": true}``, after it has prepared ``/opt/ml`` for the job. It reads one line back,
``{"exit_code": n}``, which is negative for a signal. The end of standard input ends the container and any running job.

A child gets what SageMaker's training toolkit gives a script: the toolkit itself computes environment variables,
arguments and working directory. The resident process only imports: once a process has entered an OpenMP region, its
forked children hang in XGBoost and in histogram boosting.
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
    """Run jobs until standard input ends."""
    sys.path.insert(0, CODE)
    from ensemble.worker import PRELOAD

    for name in (*PRELOAD, "sagemaker_training.environment", "sagemaker_training.params"):
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    print(json.dumps({"ready": True}), file=answers, flush=True)
    child_ended = wake_up_for_children()
    requests = io.FileIO(
        0, closefd=False
    )  # unbuffered: readline must not read beyond the line, since wait_for polls the same descriptor
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
    """Return a file descriptor that becomes readable whenever a child ends."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only a signal with a handler writes to the descriptor
    return reader


def wait_for(pid: int, child_ended: int) -> int | None:
    """Wait for a job's process to end. Return its status, or None at the end of standard input."""
    while True:
        ready, _, _ = select.select([0, child_ended], [], [])
        if child_ended in ready:
            os.read(child_ended, 4096)
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return status
        elif not os.read(0, 1):  # no request is sent before this job has ended
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
        # The container is one of several on this machine and has only some of the cores.
        os.environ["SM_NUM_CPUS"] = str(request["threads"])
        if not request["keep_model"]:  # to write it can take longer than to fit it
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
        atexit._run_exitfuncs()  # as at the normal end of a script
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def clean_up() -> None:
    """Kill the processes that the job left running and delete its files in /tmp, so that the next job starts clean."""
    if os.getpid() != 1:  # outside a container, these would be other programs' processes and files
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    for path in Path("/tmp").iterdir():  # noqa: S108  # the container's own folder
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
