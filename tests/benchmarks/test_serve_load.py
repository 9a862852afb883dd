"""The load test sees wrong answers, and a short one of the real service sees none."""

from benchmarks.serve import servers
from benchmarks.serve.client import Question, run_load
from benchmarks.serve.questions import echoes, questions


def test_a_short_load_of_the_service(tmp_path):
    asked, seconds = questions(20)
    assert seconds > 0
    with servers.neurotwin(tmp_path) as (place, process):
        load = run_load(place, asked, clients=8, seconds=0.5, half_open=10)
        assert load.row("x", 8)["requests"] > 5
        assert (load.wrong, load.refused) == (0, 0)
        mixed = [Question(one.content, other.expected) for one, other in zip(asked, asked[1:], strict=False)]
        assert run_load(place, mixed, clients=2, seconds=0.2).wrong > 0
        bad = [Question(asked[0].content.replace(b'"patient"', b'"patienx"'), b"")]
        assert run_load(place, bad, clients=2, seconds=0.2).refused > 0
        assert process.is_running()


def test_the_echo_gives_back_what_it_got():
    with servers.echo() as place:
        load = run_load(place, echoes(5), clients=2, seconds=0.2)
    assert load.seconds
    assert (load.wrong, load.refused) == (0, 0)
