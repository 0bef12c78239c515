"""Measures the service beside its floors: `python -m bench`, from the root of the checkout."""
