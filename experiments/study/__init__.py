"""What a study is, and its record: specification, search space, sampling, ledger, folder, verdict."""
