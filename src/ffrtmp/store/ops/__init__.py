"""The transactions of the store, written once for both databases: each function takes a batch of calls of one kind."""
