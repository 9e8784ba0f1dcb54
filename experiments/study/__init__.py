"""What a study is, and its record: specification, search space, ledger, folder."""
