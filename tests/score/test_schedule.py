"""What is given out again, when a part is suspected, and when a subject is to blame: without processes."""

import pytest

from neurotwin.errors import ResourceError
from neurotwin.score import Part, Schedule

PARTS = [Part(0, "00000", 0, 16), Part(1, "00000", 16, 32)]
KILLED = "killed its worker"


def run(schedule, dies, known=True, limit=1000):
    """Do tasks; ``dies`` tells of subjects whether they kill. Returns each part's excluded subjects, and losses."""
    excluded, losses = {}, 0
    for _ in range(limit):
        task = schedule.next()
        if task is None:
            assert schedule.finished
            return excluded, losses
        members = set(range(len(task.part))) if task.alone is None else set(task.alone)
        guilty = [one for one in sorted(members - dict(task.excluded).keys()) if dies(task, one)]
        if guilty:
            losses += 1
            one = guilty[0]
            batch = [one] if task.alone is not None else [row for row in range(16) if row // 4 == one // 4]
            schedule.lost(task, batch if known else (), KILLED)
            continue
        if task.alone is None:
            assert task.part.number not in excluded, "a part was done twice"
            excluded[task.part.number] = dict(task.excluded)
        schedule.done(task)
    raise AssertionError("it does not end")


@pytest.mark.parametrize("known", [True, False], ids=["with marks", "without marks"])
@pytest.mark.parametrize("tries", [1, 2, 3])
@pytest.mark.parametrize("poison", [(), (5,), (0, 15), (6, 7)], ids=str)
def test_only_the_guilty_are_left_out(poison, tries, known):
    excluded, losses = run(Schedule(PARTS, tries), lambda task, one: task.part.number == 1 and one in poison, known)
    assert excluded == {0: {}, 1: dict.fromkeys(poison, f"{KILLED} {tries} times")}
    assert losses >= 2 * tries * bool(poison) and losses <= (14 if known else 40)


def test_a_lost_worker_is_no_guilt():
    left = [3]  # as many workers are lost as bring a part under suspicion

    def dies(task, one):
        if task.alone is None and task.part.number == 0 and one == 0 and left[0]:
            left[0] -= 1
            return True
        return False

    excluded, losses = run(Schedule(PARTS, 3), dies)
    assert excluded == {0: {}, 1: {}} and losses == 3


def test_one_loss_alone_is_no_guilt_either():
    left = [2]

    def dies(task, one):
        if task.part.number == 0 and one == 5 and (task.alone is None or left[0]):
            left[0] -= task.alone is not None
            return task.alone is not None or left[0] > 0
        return False

    excluded, _ = run(Schedule(PARTS, 3), dies)
    assert excluded == {0: {}, 1: {}}


def test_a_part_that_dies_without_a_guilty_subject_ends_the_run():
    with pytest.raises(ResourceError, match="none of its subjects does alone"):
        run(Schedule(PARTS, 2), lambda task, one: task.alone is None and task.part.number == 1)


def test_records_are_not_blamed_for_what_befalls_all():
    with pytest.raises(ResourceError, match="11 subjects have killed its worker 1 times each"):
        run(Schedule(PARTS, 1), lambda task, one: True)


def test_a_worker_goes_on_with_the_shard_it_has_open():
    parts = [Part(number, f"{number // 4:05d}", 0, 1) for number in range(8)]
    schedule, last, found = Schedule(parts, 3), ["", ""], [[], []]
    for turn in range(8):
        task = schedule.next(last[turn % 2])
        last[turn % 2] = task.part.shard
        found[turn % 2].append(task.part.number)
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7]] and schedule.next() is None and not schedule.finished
