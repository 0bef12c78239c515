"""The agent of one host: works on the host's queue, watches its engine, answers questions."""
