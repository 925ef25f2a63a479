from ffrtmp.process.clocks import Clocks, Ended


def test_without_limits_nothing_ever_ends():
    clocks = Clocks(100.0, wall_seconds=None, stall_seconds=None)
    assert clocks.deadline() is None
    assert clocks.breach(1e9) is None


def test_the_wall_limit_counts_from_the_start():
    clocks = Clocks(100.0, wall_seconds=10.0, stall_seconds=None)
    assert clocks.deadline() == 110.0
    assert clocks.breach(109.9) is None
    assert clocks.breach(110.0) is Ended.TIMED_OUT


def test_progress_starts_the_stall_clock_again():
    clocks = Clocks(100.0, wall_seconds=None, stall_seconds=5.0)
    clocks.alive(104.0)
    assert clocks.deadline() == 109.0
    assert clocks.breach(108.9) is None
    assert clocks.breach(109.0) is Ended.STALLED


def test_the_nearer_limit_is_the_deadline_and_the_wall_limit_is_told_first():
    clocks = Clocks(0.0, wall_seconds=10.0, stall_seconds=3.0)
    assert clocks.deadline() == 3.0
    clocks.alive(9.0)
    assert clocks.deadline() == 10.0
    assert clocks.breach(20.0) is Ended.TIMED_OUT


def test_what_is_doomed_has_a_time_to_end_that_no_second_word_makes_longer():
    clocks = Clocks(0.0, wall_seconds=10.0, stall_seconds=3.0)
    clocks.doom(1.0, 1.5)
    clocks.doom(2.0, 1.5)
    assert clocks.deadline() == 2.5
    clocks.pause(2.0)
    clocks.resume(3.0)
    assert clocks.breach(3.4) is None
    assert clocks.breach(3.5) is Ended.FAILED


def test_clocks_stand_still_while_paused():
    clocks = Clocks(0.0, wall_seconds=10.0, stall_seconds=4.0)
    clocks.alive(2.0)
    clocks.pause(3.0)
    assert clocks.paused
    assert clocks.deadline() is None
    assert clocks.breach(1000.0) is None
    assert clocks.running_seconds(1000.0) == 3.0
    clocks.resume(1003.0)
    # one second of the stall limit was used before the pause, three seconds of the wall limit
    assert clocks.deadline() == 1006.0
    assert clocks.breach(1005.9) is None
    assert clocks.breach(1006.0) is Ended.STALLED
    clocks.alive(1006.0)
    assert clocks.deadline() == 1010.0
    assert clocks.running_seconds(1006.0) == 6.0


def test_progress_that_is_read_while_paused_gives_no_more_than_a_full_limit():
    clocks = Clocks(0.0, wall_seconds=None, stall_seconds=4.0)
    clocks.pause(1.0)
    clocks.alive(9.0)
    clocks.resume(10.0)
    assert clocks.deadline() == 14.0


def test_pausing_twice_is_pausing_once():
    clocks = Clocks(0.0, wall_seconds=10.0, stall_seconds=None)
    clocks.pause(1.0)
    clocks.pause(5.0)
    clocks.resume(6.0)
    clocks.resume(7.0)
    assert clocks.deadline() == 15.0
