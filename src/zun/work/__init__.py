"""The journal at work: what an operation's steps are, and who runs, records, retries, undoes and settles them."""
