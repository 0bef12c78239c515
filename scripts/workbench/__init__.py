"""What `quickstart` and `run-tests` share. Standard library only: it runs before anything is installed."""
