"""AWS's own containers, as the SageMaker SDK knows them."""

from __future__ import annotations

# AWS's container with the scikit-learn of entry/requirements.txt.
SKLEARN_VERSION = "1.9-0"


def sklearn_image(region: str, instance_type: str) -> str:
    """Return the URI of AWS's scikit-learn container in a region.

    Raises:
        ValueError: AWS has no such container there.
    """
    from sagemaker.core import image_uris

    uri = image_uris.retrieve("sklearn", region, version=SKLEARN_VERSION, py_version="py3", instance_type=instance_type)
    return str(uri)
