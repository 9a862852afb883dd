"""Which part is done next, and what to do when a worker is lost with one: no worker, clock or process here.

A part whose worker is lost is given out again. After ``tries`` losses the part is under suspicion: the subjects that
were being worked on at the time (all of them, where that is not known) are tried alone, one after the other. Who loses
``tries`` workers alone is quarantined, and the part is scored without it. A part that goes on losing workers though no
subject does so alone ends the run: something else is wrong.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from neurotwin.errors import ResourceError
from neurotwin.score.job import Part

ROUNDS = 3
"""How often a part may come under suspicion without a guilty subject."""
FEW, SHARE = 10, 0.01
"""So many subjects, or this share of all, may be found guilty: where it were more, something else is wrong."""


@dataclass(frozen=True)
class Task:
    """A part to score, or with ``alone`` some of its subjects to try one by one, of which nothing is kept."""

    part: Part
    excluded: tuple[tuple[int, str], ...] = ()
    alone: tuple[int, ...] | None = None


@dataclass
class _Suspicion:
    """What is known of a part that has lost workers."""

    losses: int = 0
    rounds: int = 0
    suspects: set[int] = field(default_factory=set)
    losses_alone: Counter[int] = field(default_factory=Counter)
    excluded: dict[int, str] = field(default_factory=dict)
    trials: int = 0


class Schedule:
    """Attributes:
    tries: how many workers may be lost to a part, and to a subject alone.
    """

    def __init__(self, parts: Iterable[Part], tries: int) -> None:
        self.tries = tries
        self._waiting: dict[str, deque[Task]] = {}
        subjects = 0
        for part in parts:
            self._put(Task(part))
            subjects += len(part)
        self._may_be_guilty = max(FEW, SHARE * subjects)
        self._given = 0
        self._known: dict[int, _Suspicion] = {}

    @property
    def finished(self) -> bool:
        """Nothing waits, nothing is being done."""
        return not self._waiting and not self._given

    def next(self, shard: str = "") -> Task | None:
        """A task to be done now, or None: of the ``shard`` that the worker has open, if there is one left, or of the
        shard with most left, so that each shard is read by few."""
        if not self._waiting:
            return None
        if shard not in self._waiting:
            shard = max(self._waiting, key=lambda name: len(self._waiting[name]))
        task = self._waiting[shard].popleft()
        if not self._waiting[shard]:
            del self._waiting[shard]
        self._given += 1
        return task

    def done(self, task: Task) -> None:
        """A task has been done."""
        self._given -= 1
        if task.alone is not None:
            self._tried(task)

    def lost(self, task: Task, members: Collection[int], how: str) -> None:
        """A task's worker is lost.

        Args:
            members: subjects of the part that were being worked on; empty where that is not known.
            how: such as ``killed its worker``.

        Raises:
            ResourceError: the part cannot be scored, and no subject is to blame.
        """
        self._given -= 1
        known = self._known.setdefault(task.part.number, _Suspicion())
        if task.alone is not None:
            self._lost_alone(task, known, members, how)
            return
        known.losses += 1
        known.suspects |= set(members) or set(range(len(task.part)))
        if known.losses < self.tries:
            self._put(task)
            return
        known.losses, known.rounds = 0, known.rounds + 1
        if known.rounds > ROUNDS:
            raise ResourceError(
                f"{task.part.name} has {how} {self.tries * known.rounds} times, and none of its subjects does alone",
                where="score",
                remedy="give workers more memory, or ask for fewer of them; what is done is kept",
            )
        suspects = known.suspects if known.rounds == 1 else range(len(task.part))
        known.suspects = set()
        self._try(task.part, known, sorted(set(suspects) - set(known.excluded)))

    def _put(self, task: Task) -> None:
        self._waiting.setdefault(task.part.shard, deque()).append(task)

    def _lost_alone(self, task: Task, known: _Suspicion, members: Collection[int], how: str) -> None:
        alone = task.alone or ()
        known.trials -= 1
        guilty = next(iter(members)) if len(members) == 1 else alone[0] if len(alone) == 1 else None
        if guilty is None or guilty not in alone:
            middle = len(alone) // 2
            for half in (alone[:middle], alone[middle:]):
                self._try(task.part, known, half)
            return
        known.losses_alone[guilty] += 1
        rest = alone[alone.index(guilty) :]
        if known.losses_alone[guilty] >= self.tries:
            known.excluded[guilty] = f"{how} {self.tries} times"
            self._check_guilty(how)
            known.rounds = 0
            rest = rest[1:]
        self._try(task.part, known, rest)

    def _check_guilty(self, how: str) -> None:
        guilty = sum(len(known.excluded) for known in self._known.values())
        if guilty > self._may_be_guilty:
            raise ResourceError(
                f"{guilty} subjects have {how} {self.tries} times each, too many for the records to be the cause",
                where="score",
                remedy="look at memory, libraries and the bundle on the workers; what is done is kept",
            )

    def _tried(self, task: Task) -> None:
        known = self._known[task.part.number]
        known.trials -= 1
        self._again(task.part, known)

    def _try(self, part: Part, known: _Suspicion, subjects: Sequence[int]) -> None:
        if subjects:
            known.trials += 1
            self._put(Task(part, tuple(sorted(known.excluded.items())), tuple(subjects)))
        else:
            self._again(part, known)

    def _again(self, part: Part, known: _Suspicion) -> None:
        """The part without those who are to blame, once all trials are over."""
        if not known.trials:
            self._put(Task(part, tuple(sorted(known.excluded.items()))))
