"""The collector of cycles, for programs that run for long."""

import gc


def calm() -> None:
    """What was made so far stays for good: the collector need not look at it again, nor run every 700 objects.

    It took a tenth of the time of a busy master, which makes hardly any cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
