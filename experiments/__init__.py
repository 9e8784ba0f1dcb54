"""The harness: composes a study from the configuration, runs it on a backend, records it and sums it up."""
