"""All SQL. Functions take a connection first, return frozen values of `zun.model`, and never commit."""
