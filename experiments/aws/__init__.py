"""SageMaker and Docker: the only importers of ``sagemaker``, ``boto3``, ``botocore`` and ``docker``."""
