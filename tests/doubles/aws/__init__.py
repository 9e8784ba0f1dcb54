"""A service on 127.0.0.1 that stands in for AWS and runs the jobs that are requested."""
