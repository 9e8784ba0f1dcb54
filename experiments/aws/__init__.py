"""An AWS account: settings, jobs, results, endpoints, storage, registry, budget and inventory. Owns ``boto3``."""
