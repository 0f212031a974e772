"""What follows from wrong memory, row by row of the table, and how much of it is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.components.scrubber import stimuli as s
from flight.components.scrubber.dictionary import ScrubberEvents
from flight.components.scrubber.lifecycle import FIRST_NUMBER, WHOLE, ScrubberLifecycle
from flight.components.scrubber.regions import (
    STEPS,
    Found,
    Kind,
    Row,
    State,
    Step,
    Unusable,
    Verdict,
)
from flight.framework.lifecycle import Tell, replay
from flight.framework.time_units import SECOND

Out = list[s.Instruction | Tell]
NOW = 1_000 * SECOND
PATIENCE = s.Policy().patience


class Scene:
    """A lifecycle and the time."""

    def __init__(self, policy: s.Policy | None = None) -> None:
        self.log: list[tuple[int, s.Stimulus]] = []
        self.core = ScrubberLifecycle(policy, self.log)
        self.now = NOW
        self.out: Out = []

    def step(self, stimulus: s.Stimulus, later: float = 0.0) -> Out:
        self.now += int(later * SECOND)
        new = list(self.core.step(self.now, stimulus))
        self.out += new
        return new

    def wrong(
        self,
        verdict: Verdict,
        kind: Kind = Kind.FILE,
        block: int = 3,
        *,
        made: int = 1,
        **more: Any,
    ) -> Out:
        job = 7 if kind in (Kind.JOB, Kind.GOLDEN) else 0
        found = Found("r", kind, job, made, block, verdict, 2, 1, block * 32768)
        return self.step(s.Wrong(found), **more)

    def lost(self, kind: Kind = Kind.FILE, block: int = 3, **more: Any) -> Out:
        return self.wrong(Verdict.LOST, kind, block, **more)

    def table(self, made: int = 1) -> None:
        row = Row("r", Kind.FILE, 0, made, 4096, State.WALKED, 1, 0, 0, 0)
        self.step(s.Table((row,)))

    def told(self, event: str) -> list[tuple[Any, ...]]:
        return [out.values for out in self.out if isinstance(out, Tell) and out.name == event]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def asked(out: Out) -> list[s.Ask]:
    return [each for each in out if isinstance(each, s.Ask)]


# ---------------------------------------------------------------- the table


@pytest.mark.verifies("VA-SCR-03")
@pytest.mark.parametrize("kind", [Kind.JOB, Kind.GOLDEN, Kind.FILE, Kind.TEST])
def test_each_kind_takes_the_first_step_of_its_row(scene: Scene, kind: Kind) -> None:
    out = scene.lost(kind)
    first = STEPS[kind][0]
    assert scene.told("block_lost") == [("r", 7 if kind < Kind.FILE else 0, 3, 98304, first.words)]
    if first is Step.ROLL_BACK:
        assert s.RollBack(7, "lost memory in r") in out
    else:
        (question,) = asked(out)
        assert question.kind == {Step.RELOAD: "reload", Step.REMAKE: "remake"}[first]
        assert question.body["region"] == "r"


@pytest.mark.verifies("VA-SCR-03")
@pytest.mark.parametrize("kind", [Kind.JOB, Kind.GOLDEN, Kind.FILE, Kind.TEST])
def test_each_kind_takes_all_steps_of_its_row_when_none_helps(scene: Scene, kind: Kind) -> None:
    taken = []
    out = scene.lost(kind)
    for _ in range(20):
        for question in asked(out):
            taken.append({"reload": Step.RELOAD, "remake": Step.REMAKE}.get(question.kind))
            if question.kind == "retire":
                taken[-1] = Step.RETIRE
            out = scene.step(s.Done(question.number, False, "no"))
            break
        else:
            taken += [Step.ROLL_BACK for each in out if isinstance(each, s.RollBack)]
            out = scene.lost(kind, later=16)
    assert list(dict.fromkeys(taken)) == list(STEPS[kind])
    assert scene.told("given_up") == [("r", 7 if kind < Kind.FILE else 0)]


@pytest.mark.verifies("VA-SCR-03", "VA-SCR-10")
def test_changed_program_memory_restarts_the_executive(scene: Scene) -> None:
    out = scene.step(s.ProgramChanged("flight.framework.modes:Modes.change"))
    assert scene.told("program_changed") == [
        ("flight.framework.modes:Modes.change", Step.RESTART_EXECUTIVE.words)
    ]
    (restart,) = [each for each in out if isinstance(each, s.RestartExecutive)]
    assert restart.restarts == (NOW,)


def test_every_kind_has_a_row_and_every_step_words() -> None:
    assert STEPS.keys() == set(Kind)
    assert all(step.words for step in Step)
    assert STEPS[Kind.OWNER_CHECKED] == STEPS[Kind.UNSCRUBBED] == (Step.LOG,)


# ---------------------------------------------------------------- one case


@pytest.mark.verifies("VA-SCR-02")
def test_each_lost_block_is_told_once_and_reloaded_by_itself(scene: Scene) -> None:
    for block in (1, 2, 3, 1, 2, 3):
        scene.lost(block=block)
    assert [values[2] for values in scene.told("block_lost")] == [1, 2, 3]
    assert [question.body["block"] for question in asked(scene.out)] == [1, 2, 3]


@pytest.mark.verifies("VA-SCR-02")
@given(blocks=st.lists(st.integers(0, 500), unique=True, max_size=200))
def test_lost_blocks_are_never_throttled(blocks: list[int]) -> None:
    scene = Scene(s.Policy(most_told=0))
    for block in blocks:
        scene.lost(block=block)
    assert [values[2] for values in scene.told("block_lost")] == blocks


def test_a_reloaded_block_closes_its_case_and_may_be_lost_again(scene: Scene) -> None:
    (question,) = asked(scene.lost())
    scene.step(s.Done(question.number, True, ""))
    assert scene.told("reloaded") == [("r", 3, Step.RELOAD.words)]
    assert not scene.core.cases
    assert asked(scene.lost())
    assert len(scene.told("block_lost")) == 2


def test_a_reload_that_is_not_answered_is_asked_again_and_then_given_up(scene: Scene) -> None:
    scene.lost()
    assert not asked(scene.lost(later=5))
    (again,) = asked(scene.lost(later=11))
    assert again.kind == "reload"
    (other,) = asked(scene.lost(later=16))
    assert other.kind == "retire"
    assert scene.told("step_failed")


def test_a_late_answer_to_a_question_that_was_given_up_changes_nothing(scene: Scene) -> None:
    (first,) = asked(scene.lost())
    scene.lost(later=16)
    assert scene.step(s.Done(first.number, True, "")) == []
    assert scene.core.cases["r"].blocks == {3}


def test_a_job_is_rolled_back_once_for_all_its_lost_blocks(scene: Scene) -> None:
    for block in range(5):
        scene.lost(Kind.JOB, block)
    rolled = [each for each in scene.out if isinstance(each, s.RollBack)]
    assert len(rolled) == 1
    assert scene.told("job_rolled_back") == [(7, "r")]


def test_the_region_that_the_job_makes_anew_is_another_case(scene: Scene) -> None:
    scene.lost(Kind.JOB)
    scene.table(made=2)
    assert not scene.core.cases
    scene.lost(Kind.JOB, made=2)
    assert len([each for each in scene.out if isinstance(each, s.RollBack)]) == 2


def test_a_region_that_stays_lost_after_its_job_was_rolled_back_is_retired(scene: Scene) -> None:
    scene.lost(Kind.JOB)
    (question,) = asked(scene.lost(Kind.JOB, later=16))
    assert question.kind == "retire"
    out = scene.step(s.Done(question.number, True, ""))
    assert out == [Tell(ScrubberEvents.region_retired, ("r", 7)), s.Forget("r")]
    assert not scene.core.cases


@pytest.mark.verifies("VA-SCR-05")
def test_a_region_that_cannot_be_walked_is_told_once_and_handled_by_its_row(scene: Scene) -> None:
    what = Unusable("r", Kind.FILE, 0, 1, "its file was cut short")
    (question,) = asked(scene.step(s.Broken(what)))
    assert (question.kind, question.body["block"]) == ("reload", WHOLE)
    assert scene.step(s.Broken(what)) == []
    assert len(scene.told("region_unusable")) == 1
    scene.step(s.Done(question.number, True, ""))
    assert scene.told("reloaded") == [("r", 0, Step.RELOAD.words)]
    assert not scene.core.cases


def test_an_answer_without_a_case_is_let_go(scene: Scene) -> None:
    assert scene.step(s.Done(99, True, "")) == []


# ---------------------------------------------------------------- telling, and how fast


@pytest.mark.verifies("VA-SCR-02")
def test_corrected_blocks_beyond_a_few_are_told_together_when_the_window_ends(
    scene: Scene,
) -> None:
    for block in range(20):
        scene.wrong(Verdict.CORRECTED, block=block)
    assert len(scene.told("block_corrected")) == 5
    assert scene.core.next_due() == NOW + s.Policy().window
    scene.step(s.Tick(), later=61)
    assert scene.told("more_corrected") == [(15, 60.0)]
    scene.wrong(Verdict.RECHECKED)
    assert len(scene.told("checks_corrected")) == 1


@pytest.mark.verifies("VA-SCR-08")
def test_radiation_and_wrong_memory_raise_the_rate_and_calm_lowers_it_again(scene: Scene) -> None:
    assert scene.step(s.Radiation(1)) == [s.SetFactor(4.0)]
    assert scene.step(s.Radiation(1)) == []
    assert scene.step(s.Radiation(2)) == [s.SetFactor(8.0)]
    assert scene.step(s.Radiation(0)) == [s.SetFactor(1.0)]
    assert s.SetFactor(4.0) in scene.wrong(Verdict.CORRECTED)
    assert scene.step(s.Tick(), later=299) == []
    assert scene.step(s.Tick(), later=2) == [s.SetFactor(1.0)]
    assert scene.core.next_due() is None


def test_injected_errors_do_not_raise_the_rate(scene: Scene) -> None:
    out = scene.wrong(Verdict.CORRECTED, Kind.TEST)
    assert not [each for each in out if isinstance(each, s.SetFactor)]


@pytest.mark.verifies("VA-SCR-10")
def test_after_three_restarts_within_a_day_the_program_is_left_as_it_is(scene: Scene) -> None:
    for _ in range(3):
        scene.step(s.ProgramChanged("x"), later=60)
    out = scene.step(s.ProgramChanged("x"), later=60)
    assert not [each for each in out if isinstance(each, s.RestartExecutive)]
    assert scene.told("program_left") == [("x", 3)]
    out = scene.step(s.ProgramChanged("x"), later=86_400)
    assert [each for each in out if isinstance(each, s.RestartExecutive)]


def test_restarts_are_counted_across_restarts() -> None:
    scene = Scene()
    scene.step(s.Restore((NOW - 1, NOW - 2, NOW - 3)))
    scene.step(s.ProgramChanged("x"))
    assert scene.told("program_left")


def test_a_new_policy_holds_from_then_on(scene: Scene) -> None:
    scene.step(s.Radiation(1))
    assert scene.step(s.SetPolicy(s.Policy(raised_factor=2.0))) == [s.SetFactor(2.0)]


KINDS = st.sampled_from([Kind.JOB, Kind.GOLDEN, Kind.FILE, Kind.TEST])
STIMULI = st.one_of(
    st.builds(
        lambda kind, block, made, verdict: s.Wrong(
            Found("r", kind, 7, made, block, verdict, 1, 0, 0)
        ),
        KINDS,
        st.integers(0, 3),
        st.integers(1, 2),
        st.sampled_from(Verdict),
    ),
    st.builds(lambda kind, made: s.Broken(Unusable("r", kind, 7, made, "")), KINDS, st.just(1)),
    st.builds(s.Done, st.integers(FIRST_NUMBER, FIRST_NUMBER + 12), st.booleans(), st.just("no")),
    st.just(s.Tick()),
    st.builds(s.Radiation, st.integers(0, 2)),
    st.just(s.Table(())),
)


@given(steps=st.lists(st.tuples(STIMULI, st.integers(0, 20)), max_size=60))
def test_whatever_comes_a_replay_of_the_log_gives_the_same_instructions(
    steps: list[tuple[s.Stimulus, int]],
) -> None:
    scene = Scene()
    for stimulus, later in steps:
        out = scene.step(stimulus, later=later)
        assert len(asked(out)) <= 4
    assert replay(ScrubberLifecycle(), scene.log) == scene.out
