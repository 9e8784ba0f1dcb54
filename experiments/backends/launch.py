"""What ``mode=remote`` does before a launch: check the account, run a trial on this machine, upload."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.aws.budget import Bound
from experiments.aws.image_push import push_image_if_missing
from experiments.aws.preflight import check_account
from experiments.aws.storage import Storage, Upload, encryption
from experiments.aws.uploads import uploads
from experiments.aws.warm_start import check_parents
from experiments.backends.remote_requests import RemoteRequests, parallelism_notes
from experiments.backends.smoke_trial import smoke_trial
from experiments.backends.study_document import describe_study, study_file
from experiments.backends.worker_pool import LocalWorkers
from experiments.reporting.console import print_plain
from experiments.study.spec import StudySpec


class Launch:
    """Prepares the launch of a study, and shows the progress."""

    def __init__(self, requests: RemoteRequests, local_workers: LocalWorkers, console: Console) -> None:
        """Prepare nothing yet.

        Args:
            requests: Builds the study's requests.
            local_workers: Returns workers on this machine.
            console: Where the launch is shown.
        """
        self._settings = requests.settings
        self._requirements = requests.requirements
        self._local_workers = local_workers
        self._console = console

    def check(self, study: StudySpec, bound: Bound, document: Mapping[str, Any]) -> None:
        """Print what the jobs to launch cost, and check the account; nothing is written here or there.

        Args:
            study: The study.
            bound: The upper bound of the cost of the jobs to launch.
            document: The first request.

        Raises:
            BackendUnavailable: The account lacks something.
        """
        what = "" if bound.jobs == study.n_trials else "the rest of "
        self._print(f"{what}study {study.name} costs {bound.describe()}.")
        with self._console.status("checking the account"):
            notes = [*parallelism_notes(study), *check_account(study, self._settings)]
            check_parents(document, self._settings.account)
        for note in notes:
            self.report(note)

    def prepare(self, study: StudySpec, document: Mapping[str, Any]) -> None:
        """Run a trial on this machine, push the image, and upload the data and the code.

        Args:
            study: The study; its channels and source directory are placed.
            document: The first request.

        Raises:
            StudyFailed: A trial on this machine failed.
        """
        with self._console.status("one trial of two folds on this machine"):
            smoke_trial(study, document.get("TrainingJobDefinition", document), self._local_workers())
        if self._settings.to_push is not None:
            tags = self._settings.options.tags
            push_image_if_missing(self._settings.account, self._settings.to_push, tags, self._console)
        sent = self._upload(study)
        in_place = study.channels.in_place
        what = "data and code" if in_place is None else "code"
        self._print(f"{sent / 1e6:.2f} MB of {what} uploaded to {self._settings.location()}.")
        if in_place is not None:
            self._print(f"the data is read in place: {in_place.location}/")

    def report(self, text: str) -> None:
        """Show the user a note."""
        self._print(f"note: {text}")

    def _upload(self, study: StudySpec) -> int:
        """Upload the files that the requests name, and return the number of bytes sent."""
        settings = self._settings
        with tempfile.TemporaryDirectory(prefix="byoe-") as scratch, self._console.status("uploading") as status:

            def show(upload: Upload) -> None:
                status.update(f"uploading {upload.location}, {upload.size / 1e6:.1f} MB")

            storage = Storage(settings.account.client("s3"), encryption(settings.options.output_kms_key))
            files = uploads(study, settings, self._requirements, Path(scratch))
            if study.tuned_by_amt:  # a tuning job, which any machine can attach to
                name = study_file(study.identity_hash())
                described = Path(scratch) / name
                described.write_text(json.dumps(describe_study(study)))
                files.append(Upload(described, settings.location("studies", study.name, name)))
            return storage.upload(files, show)

    def _print(self, text: str) -> None:
        print_plain(self._console, text)
