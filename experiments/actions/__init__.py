"""One module for each action=, named after it; tune has train and replay too, which run a study in the same way."""
