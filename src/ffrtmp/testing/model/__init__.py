"""A model of the queue, written from the documents and not from the store, and a machine that compares the two step by step.

`queue` and `work` are the model: plain Python, no database. `machine` does the same to it and to a real store and compares every
answer and all that can be seen; `benches` are both databases under a clock that stands still until it is moved.
"""
