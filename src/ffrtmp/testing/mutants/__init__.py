"""Deliberate faults in the protocol. Each must be found: by an invariant of the simulator, or by a test that is named.

What finds nothing proves nothing. They are put on from outside, for one run in this process or for a program that
`ffrtmp.testing.launcher` starts: the product has no switch for them. `make mutants` tries them all.
"""

#: names one of them to a program of the test kit, or to the tests (`tests/conftest.py`)
VARIABLE = "FFRTMP_TEST_MUTANT"
