import itertools

import pytest

from ffrtmp.domain import states
from ffrtmp.domain.states import AttemptState, JobState, TaskState


def test_nothing_leaves_a_terminal_state() -> None:
    for state in states.TASK_TERMINAL:
        assert states.TASK_TRANSITIONS[state] == frozenset()
    for attempt in states.ATTEMPT_TERMINAL:
        assert states.ATTEMPT_TRANSITIONS[attempt] == frozenset()


def test_every_state_is_in_its_table_and_every_open_one_can_end() -> None:
    assert set(states.TASK_TRANSITIONS) == set(TaskState)
    assert set(states.ATTEMPT_TRANSITIONS) == set(AttemptState)
    for start in set(TaskState) - states.TASK_TERMINAL:
        reached, frontier = {start}, [start]
        while frontier:
            for target in states.TASK_TRANSITIONS[frontier.pop()] - reached:
                reached.add(target)
                frontier.append(target)
        assert reached & states.TASK_TERMINAL, start


def test_a_cancel_cannot_follow_a_publication() -> None:
    assert AttemptState.CANCELED not in states.ATTEMPT_TRANSITIONS[AttemptState.PUBLISHING]


@pytest.mark.parametrize(
    ("tasks", "paused", "job"),
    [
        ([TaskState.QUEUED], False, JobState.QUEUED),
        ([TaskState.QUEUED], True, JobState.PAUSED),
        ([TaskState.RUNNING], True, JobState.PAUSED),
        ([TaskState.DONE, TaskState.BLOCKED], False, JobState.RUNNING),
        ([TaskState.ASSIGNED, TaskState.BLOCKED], False, JobState.ASSIGNED),
        ([TaskState.RUNNING, TaskState.RETRYING], False, JobState.RUNNING),
        ([TaskState.RETRYING, TaskState.BLOCKED], False, JobState.RETRYING),
        ([TaskState.DONE, TaskState.DONE], True, JobState.COMPLETED),
        ([TaskState.FAILED, TaskState.CANCELED], False, JobState.FAILED),
        ([TaskState.TIMED_OUT, TaskState.CANCELED], False, JobState.TIMED_OUT),
        ([TaskState.DONE, TaskState.CANCELED], False, JobState.CANCELED),
        ([TaskState.REJECTED], False, JobState.REJECTED),
    ],
)
def test_a_jobs_state_follows_from_its_tasks(tasks: list[TaskState], paused: bool, job: JobState) -> None:
    assert states.job_state(tasks, paused=paused) is job


def test_a_job_is_over_exactly_when_a_task_ended_badly_or_all_are_done() -> None:
    for pair in itertools.combinations_with_replacement(TaskState, 2):
        over = states.job_state(pair, paused=False) in states.JOB_TERMINAL
        bad = bool(set(pair) & (states.TASK_TERMINAL - {TaskState.DONE}))
        assert over == (bad or set(pair) == {TaskState.DONE})
