"""One training job, from its download to its upload."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import tarfile
import traceback
from pathlib import Path

from experiments.system.archives import unpack
from tests.doubles.aws.container import Process, start_image, start_script, write_config
from tests.doubles.aws.faults import Faults, JobFailure, JobStop
from tests.doubles.aws.records import TrainingJob, now, single
from tests.doubles.aws.state import State
from tests.doubles.aws.transfers import DownloadFailed, Site, parts, said

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
LOG_STREAM = "algo-1-1700000000"
INPUT_DATA = "/opt/ml/input/data/"
LONGEST_STOP = 60


class Execution:
    """Runs one training job in the thread that calls ``run``; other threads may stop it."""

    def __init__(self, job: TrainingJob, state: State, faults: Faults, site: Site) -> None:
        """Prepare it.

        Args:
            job: The job.
            state: What the double knows.
            faults: What is to go wrong.
            site: Where it runs.
        """
        self.job = job
        self._state = state
        self._faults = faults
        self._site = site
        self._folder = site.folder / job.name
        self._ml = self._folder / "ml"
        self._log = self._folder / "log.txt"
        self._process: Process | None = None

    def run(self) -> None:
        """Run it until it ends in any way."""
        try:
            self._run()
        except DownloadFailed as error:
            self._end("Failed", "Failed", f"ClientError: {error}")
        except Exception:  # a mistake in the double itself, which must fail the test
            self._end("Failed", "Failed", f"InternalServerError: {traceback.format_exc()[-900:]}")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        """Ask it to stop; called with the state's lock held."""
        if not self.job.has_ended and not self.job.stopping:
            self.job.stopping, self.job.status = True, "Stopping"
            self.job.enter("Stopping")
            self._state.changed.notify_all()
            if self._process is not None:
                self._process.stop()

    def kill(self) -> None:
        """Kill its process because the double closes; called with the state's lock held."""
        self.job.stopping = True
        if self._process is not None:
            self._process.kill()

    def _run(self) -> None:
        while True:
            self._enter("Downloading")
            self._lay_out()
            self._enter("Training")
            if not self._faults.interrupts(self.job.index, self.job.name):
                break
            self._enter("Interrupted")
            self._enter("Starting")
        with self._state.changed:
            self._state.changed.wait_for(lambda: self.job.stopping or not self._state.is_held(self.job))
        ending = None if self.job.stopping else self._faults.ending(self.job.index, self.job.name)
        code = self._run_script() if ending is None or ending.run else 0
        if self._state.closing:
            self._end("Stopped", "Stopped")
            return
        self._read_log()
        self._enter("Uploading")
        self._upload(ending, code)
        self._conclude(ending, code)

    def _run_script(self) -> int | None:
        """Run the script; return its exit code, or None if it was stopped or never started."""
        limit = self.job.document["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400)
        if self.job.stopping:
            return None
        process = self._start()
        try:
            with self._state.changed:
                self._process = process
                if self.job.stopping:
                    process.kill()
            code = process.wait(limit)
            if code is None:
                with self._state.changed:
                    self.job.timed_out = True
                process.stop()
                process.wait(LONGEST_STOP)
        finally:
            with self._state.changed:
                self._process = None
            process.close()
        return None if self.job.stopping else code

    def _start(self) -> Process:
        if self._site.image is None:
            return start_script(self._ml, self.job.document, self._site.cpus, self._log, self._site.resident)
        return start_image(self._site.image, self._ml, self.job.document, self._site.cpus, self._log)

    def _lay_out(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        for part in ("input/config", "input/data", "output/data", "model", "code"):
            (self._ml / part).mkdir(parents=True)
        document = dict(self.job.document)
        for channel in document.get("InputDataConfig", ()):
            place = self._ml / "input" / "data" / channel["ChannelName"]
            place.mkdir()
            self._download_prefix(channel["DataSource"]["S3DataSource"]["S3Uri"], place)
        submitted = str(json.loads(document["HyperParameters"]["sagemaker_submit_directory"]))
        if not submitted.startswith(INPUT_DATA) and document.get("EnableNetworkIsolation"):
            raise DownloadFailed(f"the container has no network, and its code is at {submitted}")
        self._place_code(submitted)
        if self._site.image is not None:
            hyperparameters = {**document["HyperParameters"], "sagemaker_submit_directory": json.dumps("/opt/ml/code")}
            document["HyperParameters"] = hyperparameters
        write_config(self._ml, document)

    def _place_code(self, submitted: str) -> None:
        code = self._ml / "code"
        if not submitted.startswith(INPUT_DATA):
            archive = self._folder / "sourcedir.tar.gz"
            self._site.download(submitted, archive)
            unpack(archive, code)
            return
        path = self._ml / submitted.removeprefix("/opt/ml/")
        if path.is_dir():
            shutil.copytree(path, code, dirs_exist_ok=True)
        elif path.exists():
            unpack(path, code)
        else:
            raise DownloadFailed(f"the code is not at {submitted}")

    def _download_prefix(self, location: str, folder: Path) -> None:
        bucket, prefix = parts(location)
        found = 0
        with said(location):
            pages = self._site.storage.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            for key in (entry["Key"] for page in pages for entry in page.get("Contents", ())):
                if key.endswith("/"):  # a folder, as the console creates it
                    continue
                found += 1
                path = folder / (key[len(prefix) :].lstrip("/") or Path(key).name)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._site.storage.download_file(bucket, key, str(path))
        if not found:
            raise DownloadFailed(f"Data download failed:No S3 objects found under S3 URL {location!r}")

    def _read_log(self) -> None:
        """Send the log to CloudWatch, and read the last value of each metric from it."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        self._site.log(LOG_GROUP, f"{self.job.name}/{LOG_STREAM}", lines)
        metrics = []
        for definition in self.job.document["AlgorithmSpecification"].get("MetricDefinitions", ()):
            found = [match[1] for line in lines for match in re.finditer(definition["Regex"], line)]
            with contextlib.suppress(ValueError, IndexError, OverflowError):  # not a number, not found, or out of range
                if math.isfinite(value := single(float(found[-1]))):
                    metrics.append({"MetricName": definition["Name"], "Value": value, "Timestamp": now()})
        with self._state.changed:
            self.job.metrics, self.job.late = metrics, self._faults.late_metrics(self.job.index, self.job.name)

    def _upload(self, ending: JobFailure | JobStop | None, code: int | None) -> None:
        failed = code not in (0, None) or isinstance(ending, JobFailure)
        whole = code == 0 and ending is None
        for folder, archive in ((self._ml / "model", "model.tar.gz"), (self._ml / "output" / "data", "output.tar.gz")):
            is_model = archive == "model.tar.gz"
            if (is_model and failed) or not (any(folder.iterdir()) or (is_model and whole)):
                continue
            path = self._folder / archive
            with tarfile.open(path, "w:gz") as tar:
                for entry in sorted(folder.iterdir()):
                    tar.add(entry, entry.name)
            bucket, key = parts(f"{self.job.output}/{archive}")
            self._site.storage.upload_file(str(path), bucket, key)

    def _conclude(self, ending: JobFailure | JobStop | None, code: int | None) -> None:
        if isinstance(ending, JobFailure):
            self._end("Failed", "Failed", ending.reason)
        elif isinstance(ending, JobStop):
            self._end("Stopped", ending.secondary)
        elif self.job.timed_out:
            self._end("Stopped", "MaxRuntimeExceeded")
        elif self.job.stopping:
            self._end("Stopped", "Stopped")
        elif code:
            path = self._ml / "output" / "failure"
            reason = f"{path.read_text(errors='replace')}, " if path.exists() else ""
            self._end("Failed", "Failed", f"AlgorithmError: {reason}exit code: {code}")
        else:
            self._end("Completed", "Completed")

    def _enter(self, secondary: str) -> None:
        with self._state.changed:
            if not self.job.stopping or secondary == "Uploading":
                self.job.enter(secondary)
            self._state.changed.notify_all()

    def _end(self, status: str, secondary: str, failure: str | None = None) -> None:
        with self._state.changed:
            self.job.billable_seconds = self._state.billable_seconds
            self.job.training_seconds = self._state.training_seconds
            self.job.end(status, secondary, failure)
            self._state.changed.notify_all()
