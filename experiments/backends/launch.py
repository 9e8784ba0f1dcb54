"""What ``mode=remote`` does before a launch: prove the study here, check the account, upload."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from experiments.aws.budget import Bound
from experiments.aws.preflight import check_account
from experiments.aws.settings import remote_settings
from experiments.aws.storage import Storage, Upload, encryption
from experiments.aws.uploads import code_digest, requirements_text, uploads
from experiments.aws.warm_start import check_parents
from experiments.backends.remote import RemoteBackend
from experiments.backends.smoke import smoke_trial
from experiments.backends.study_document import describe_study, study_file
from experiments.backends.worker_pool import WorkerPool
from experiments.config.arguments import typed_command
from experiments.config.schema import RemoteModeConfig
from experiments.reporting.console import print_plain
from experiments.study.spec import StudySpec


def remote_backend(
    mode: RemoteModeConfig,
    study: StudySpec,
    arguments: Sequence[str],
    scorers: Callable[[], WorkerPool],
    console: Console,
) -> RemoteBackend:
    """Return the backend of ``mode=remote``.

    Args:
        mode: The configuration.
        study: The study; its channels and source directory are placed.
        arguments: The command as typed.
        scorers: Returns workers on this machine.
        console: Where the launch is told.

    Raises:
        ConfigError: A value is missing or not possible.
    """
    settings = remote_settings(mode, typed_command(arguments))
    requirements = requirements_text(mode.image.requirements) if settings.requirements else None

    def prepare(study: StudySpec, bound: Bound) -> None:
        def tell(text: str) -> None:
            print_plain(console, text)

        what = "" if bound.jobs == study.n_trials else "what is left of "
        tell(f"{what}study {study.name} costs {bound.describe()}.")
        (document, *_) = next(iter(backend.requests(study).values()))
        with console.status("looking at the account"):
            notes = check_account(study, settings)
            check_parents(document, settings.account)
        for note in notes:
            tell(f"note: {note}")
        with console.status("one trial of two folds on this machine"):
            smoke_trial(study, document.get("TrainingJobDefinition", document), scorers())
        with tempfile.TemporaryDirectory(prefix="byoe-") as scratch, console.status("uploading") as status:

            def going(upload: Upload) -> None:
                status.update(f"uploading {upload.location}, {upload.size / 1e6:.1f} MB")

            storage = Storage(settings.account.client("s3"), encryption(settings.options.output_kms_key))
            files = uploads(study, settings, requirements, Path(scratch))
            if study.points is None:  # of a tuning job, which can be attached to
                name = study_file(study.identity_hash())
                beside = Path(scratch) / name
                beside.write_text(json.dumps(describe_study(study)))
                files.append(Upload(beside, settings.location("studies", study.name, name)))
            sent = storage.upload(files, going)
        in_place = study.channels.in_place
        what = "data and code" if in_place is None else "code"
        tell(f"{sent / 1e6:.2f} MB of {what} uploaded to {settings.location()}.")
        if in_place is not None:
            tell(f"the data is used where it lies: {in_place.location}/")

    backend = RemoteBackend(settings, lambda study: code_digest(study, requirements), prepare)
    return backend
