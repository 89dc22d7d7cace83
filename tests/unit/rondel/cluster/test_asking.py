"""Who is asked, when more are asked, and when what came is enough."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from rondel.cluster.asking import INCOMPLETE, Asker, Metrics, Settings, Suspects
from rondel.errors import Corruption, InvalidData, QueryCanceled, RondelError, Unavailable
from rondel.promql.control import Control
from rondel.ring.instance import Instance, State
from rondel.ring.membership import RING_EPOCH
from rondel.ring.ring import Ring
from rondel.rpc.standing import Standing
from rondel.storage import PATIENT, Watch
from tests.unit.rondel.ring.test_ring import fleet, with_state

THREE = fleet(1, 1, 1)
GOOD = Standing()
REFUSED = Unavailable("refused")
LATE = Unavailable("epoch 1 is before 2", id=RING_EPOCH)


class Reply:
    """Implements what is used of `rondel.rpc.remote.Reply`."""

    def __init__(self) -> None:
        self.future: Future[str] = Future()
        self.standing: Standing | None = None
        self.is_dropped = False

    def get(self, watch: Watch) -> str:
        watch.check()
        return self.future.result()

    def drop(self) -> None:
        self.is_dropped = True

    def answer(self, value: str, standing: Standing = GOOD) -> None:
        self.standing = standing
        self.future.set_result(value)

    def fail(self, error: Exception) -> None:
        self.future.set_exception(error)


class Cluster:
    """Ingesters that answer with their names, or as they are told to."""

    def __init__(self, ring: Ring = THREE, **settings: Any) -> None:
        self.ring = ring
        self.asked: list[str] = []
        self.epochs: set[int] = set()
        self.replies: dict[str, Reply] = {}
        self.behaviour: dict[str, Callable[[Reply], object]] = {}
        self.registry = CollectorRegistry()
        self.now_s = 0.0
        given = Settings(**{"zone": "a", "hedge_s": 0.05, "patience_s": 0, **settings})
        suspects = Suspects(given.suspect_s, lambda: self.now_s)
        connect: Any = lambda instance: instance  # noqa: E731
        self.asker = Asker(lambda: self.ring, connect, given, suspects, Metrics(self.registry))

    def ask(self, watch: Watch = PATIENT) -> list[str]:
        """Who answered, sorted."""
        self.asked.clear()
        question: Any = self.question
        return sorted(self.asker.ask(question, 0, watch).found)

    def question(self, remote: Instance, epoch: int) -> Reply:
        self.asked.append(remote.id)
        self.epochs.add(epoch)
        reply = self.replies[remote.id] = Reply()
        self.behaviour.get(remote.id, lambda reply: reply.answer(remote.id))(reply)
        return reply

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"rondel_cluster_reads_{name}_total", labels) or 0.0


def silent(reply: Reply) -> None:
    """Says nothing."""


def failing(error: RondelError = REFUSED) -> Callable[[Reply], None]:
    return lambda reply: reply.fail(error)


def later(delay_s: float, value: str) -> Callable[[Reply], None]:
    return lambda reply: threading.Timer(delay_s, lambda: reply.answer(value)).start()


def test_while_all_is_well_no_more_are_asked_than_are_needed_our_zone_first() -> None:
    cluster = Cluster(fleet(2, 2, 2), zone="b")
    assert cluster.ask() == ["b0", "b1", "c0", "c1"]
    assert cluster.asked == ["b0", "b1", "c0", "c1"]
    assert cluster.counted("asked", ingester="b0") == 1


def test_processes_of_no_zone_of_the_ring_do_not_all_ask_the_same() -> None:
    asked = {tuple(Cluster(zone="elsewhere", turn=turn).ask()) for turn in range(3)}
    assert asked == {("a0", "b0"), ("b0", "c0"), ("a0", "c0")}
    in_one_zone = {tuple(Cluster(fleet(3), turn=turn).ask()) for turn in range(3)}
    assert len(in_one_zone) == 3


def test_the_epoch_is_that_of_the_ring_that_judges() -> None:
    cluster = Cluster(Ring(THREE.instances, 3, epoch=17))
    cluster.ask()
    assert cluster.epochs == {17}


def test_where_one_fails_the_others_are_asked_at_once() -> None:
    cluster = Cluster(hedge_s=60)
    cluster.behaviour["b0"] = failing()
    assert cluster.ask() == ["a0", "c0"]
    assert cluster.counted("failed", ingester="b0") == 1
    assert cluster.counted("hedged", reason="failed") == 1


def test_where_one_is_silent_the_others_are_asked_and_it_is_not_waited_for() -> None:
    cluster = Cluster()
    cluster.behaviour["b0"] = silent
    assert cluster.ask() == ["a0", "c0"]
    assert cluster.replies["b0"].is_dropped
    assert cluster.counted("hedged", reason="slow") == 1


def test_one_that_has_begun_to_answer_is_not_taken_for_silent() -> None:
    def begun(reply: Reply) -> None:
        reply.standing = Standing()
        later(0.3, "b0")(reply)

    cluster = Cluster()
    cluster.behaviour["b0"] = begun
    assert cluster.ask() == ["a0", "b0"]
    assert cluster.asked == ["a0", "b0"]


def test_a_slow_one_that_is_needed_is_waited_for() -> None:
    cluster = Cluster()
    cluster.behaviour = {"b0": later(0.3, "b0"), "c0": failing()}
    assert cluster.ask() == ["a0", "b0"]


def test_who_failed_of_late_is_asked_last_and_after_a_while_as_before() -> None:
    cluster = Cluster(suspect_s=10)
    cluster.behaviour["b0"] = failing()
    cluster.ask()
    assert cluster.ask() == ["a0", "c0"]
    assert cluster.asked == ["a0", "c0"]
    cluster.now_s = 11
    del cluster.behaviour["b0"]
    assert cluster.ask() == ["a0", "b0"]


def test_a_suspect_that_answers_is_one_no_more() -> None:
    cluster = Cluster()
    cluster.asker.failed("b0")
    cluster.behaviour["c0"] = failing()
    assert cluster.ask() == ["a0", "b0"]
    assert cluster.asker.suspects.ids == {"c0"}


def test_answers_of_whoever_is_behind_are_used_and_not_counted() -> None:
    cluster = Cluster()
    cluster.behaviour["b0"] = lambda reply: reply.answer("b0", Standing(behind=True))
    assert cluster.ask() == ["a0", "b0", "c0"]
    cluster.behaviour["c0"] = failing()
    with pytest.raises(Unavailable, match=r"b0 .it may lack what it acknowledged"):
        cluster.ask()


def test_who_is_known_to_be_behind_is_asked_last() -> None:
    ring = Ring(tuple(replace(one, behind_since_ms=int(one.id == "a0")) for one in THREE.instances))
    cluster = Cluster(ring)
    assert cluster.ask() == ["b0", "c0"]


def test_an_answer_without_enough_replicas_is_an_error_that_names_who_is_missing() -> None:
    cluster = Cluster()
    cluster.behaviour = {"b0": failing(), "c0": failing(Corruption("bad page"))}
    with pytest.raises(Unavailable) as raised:
        cluster.ask()
    assert raised.value.id == INCOMPLETE
    assert "100.0% of the series" in str(raised.value)
    assert "b0 (refused), c0 (bad page)" in str(raised.value)
    assert cluster.counted("incomplete") == 1


def test_one_that_restarts_is_waited_for_a_moment() -> None:
    cluster, failures = Cluster(patience_s=10), [REFUSED, REFUSED, REFUSED]

    def restarting(reply: Reply) -> None:
        if failures:
            reply.fail(failures.pop())
        else:
            reply.answer("b0")

    cluster.behaviour = {"b0": restarting, "c0": failing()}
    assert cluster.ask() == ["a0", "b0"]
    assert cluster.counted("incomplete") == 0


def test_whoever_waits_for_one_that_restarts_may_leave() -> None:
    cluster, control = Cluster(patience_s=60), Control()
    cluster.behaviour = dict.fromkeys(("a0", "b0", "c0"), failing())
    threading.Timer(0.1, control.cancel).start()
    with pytest.raises(QueryCanceled):
        cluster.ask(control)


def test_two_sick_ones_in_two_zones_take_nothing_from_series_that_have_others() -> None:
    """Of six ingesters in three zones those of one number share their ranges."""
    cluster = Cluster(fleet(2, 2, 2), hedge_s=0.01)
    cluster.behaviour = {"a0": failing(), "b1": silent}
    found = cluster.ask()
    assert {"a1", "b0", "c0", "c1"} <= set(found)
    cluster.behaviour = {"a0": failing(), "b0": failing()}
    with pytest.raises(Unavailable, match=r"of 50.0% of the series answered; missing a0 .refused., b0"):
        cluster.ask()


def test_a_caller_with_an_old_ring_learns_that_and_suspects_nobody() -> None:
    cluster = Cluster()
    cluster.behaviour = dict.fromkeys(("a0", "b0", "c0"), failing(LATE))
    with pytest.raises(Unavailable) as raised:
        cluster.ask()
    assert raised.value.id == RING_EPOCH
    assert cluster.asker.suspects.ids == frozenset()


def test_a_ring_that_comes_in_a_moment_is_waited_for() -> None:
    cluster, newer = Cluster(patience_s=10), Ring(THREE.instances, 3, epoch=2)
    behaviour = dict.fromkeys(("a0", "b0", "c0"), failing(LATE))

    def refused(reply: Reply) -> None:
        failing(LATE)(reply)
        cluster.ring = newer
        cluster.behaviour = {}

    cluster.behaviour = behaviour | {"c0": refused}
    assert len(cluster.ask()) >= 2
    assert cluster.epochs == {0, 2}


def test_whose_fault_the_question_is_hears_it_from_the_first() -> None:
    cluster = Cluster()
    cluster.behaviour["b0"] = failing(InvalidData("no regex"))
    with pytest.raises(InvalidData):
        cluster.ask()


def test_a_query_that_is_cancelled_stops_waiting_and_drops_what_it_asked_for() -> None:
    cluster, control = Cluster(), Control()
    cluster.behaviour = dict.fromkeys(("a0", "b0", "c0"), silent)
    threading.Timer(0.1, control.cancel).start()
    began_s = time.monotonic()
    with pytest.raises(QueryCanceled):
        cluster.ask(control)
    assert time.monotonic() - began_s < 10
    assert all(reply.is_dropped for reply in cluster.replies.values())


def test_a_ring_without_ingesters_has_no_answer() -> None:
    for entries in ((), tuple(replace(one, state=State.LEFT) for one in THREE.instances)):
        with pytest.raises(Unavailable, match="no ingesters"):
            Cluster(Ring(entries)).ask()


def test_some_are_never_asked() -> None:
    cluster = Cluster(without=frozenset({"a0"}))
    assert cluster.ask() == ["b0", "c0"]
    cluster.behaviour["b0"] = failing()
    with pytest.raises(Unavailable, match=r"missing a0 .not asked., b0 .refused."):
        cluster.ask()
    with pytest.raises(Unavailable, match="not asked"):
        Cluster(without=frozenset({"a0", "b0"})).ask()


def test_whoever_has_left_counts_as_one_that_answered() -> None:
    cluster = Cluster(with_state(THREE, "c0", State.LEFT))
    cluster.behaviour["b0"] = failing()
    assert cluster.ask() == ["a0"]


def test_groups_follow_the_ring() -> None:
    cluster = Cluster()
    cluster.ask()
    cluster.ring = fleet(2, 2, 2)
    assert cluster.ask() == ["a0", "a1", "b0", "b1"]


def test_blocks_that_were_shipped_are_those_of_all_answers() -> None:
    cluster = Cluster()
    cluster.behaviour = {
        "a0": lambda reply: reply.answer("a0", Standing(shipped=("x", "y"))),
        "b0": lambda reply: reply.answer("b0", Standing(shipped=("y", "z"))),
    }
    question: Any = cluster.question
    assert sorted(cluster.asker.ask(question, 0, PATIENT).shipped) == ["x", "y", "z"]


def test_where_tenants_may_have_shards_one_zone_may_be_lacking_and_no_two() -> None:
    ring = Ring(fleet(3, 3, 3).instances, has_shards=True)
    cluster = Cluster(ring, zone="a")
    assert cluster.ask() == ["a0", "a1", "a2", "b0", "b1", "b2"]
    cluster.behaviour |= {"b0": failing(), "b2": failing()}
    assert cluster.ask() == ["a0", "a1", "a2", "b1", "c0", "c1", "c2"]
    # Now those of zone b are asked last.
    assert cluster.ask() == ["a0", "a1", "a2", "c0", "c1", "c2"]
    cluster.behaviour["c1"] = failing()
    with pytest.raises(Unavailable, match=r"too few replicas of 100\.0% of the series answered; missing b0"):
        cluster.ask()
