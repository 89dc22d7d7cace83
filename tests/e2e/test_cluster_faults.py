"""A cluster of real processes with everything that can break broken once, under writes and queries.

In each trial nothing that was acknowledged is lost, nothing wrong is answered, and what the replication
factor promises stays available. `make faults` runs them all and writes the table of docs/reliability.md;
`make test` runs the first one.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.cluster import LocalCluster, Shape, wait_until
from deploy.local.network import Loopback, Network
from tests.support.cut_proxy import CutProxies
from tests.support.fault_table import Row, write_rows
from tests.support.netns import Zones, may_make_namespaces
from tests.support.process import Process
from tests.support.skewed_clock import SkewedClock
from tests.support.smalldisk import small_disk
from tests.support.trial import LEASE_S, SETTINGS, Promise, Scene, try_fault

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

BACK_S = 4
"""how long a supervisor waits once a process is ready, before it touches the next: callers connect again
within 3 s"""
AWAY_S = 6
"""how long something is away, unless more is said"""
FROZEN_S = 4 * LEASE_S
"""so long that its lease ends, and that its silence is noticed"""
ROUNDS = int(os.environ.get("E2E_FAULT_ROUNDS", "15"))
OUTAGE_S = int(os.environ.get("E2E_OUTAGE_S", "120"))
"""how long all of etcd is away"""
THREE = Shape()
ALWAYS = Promise()
NOTHING = Promise(queries=False, writes=False)


@dataclass(frozen=True)
class Trial:
    name: str
    fault: Callable[[Scene], None]
    promise: Promise = ALWAYS
    shape: Shape = THREE


# ---- single processes ----


def killed(*processes: Process, scene: Scene, away_s: float = AWAY_S) -> None:
    """SIGKILL at once, and after a while a start."""
    for process in processes:
        process.kill()
    scene.passes(away_s)
    for process in processes:
        process.launch()


def frozen(*processes: Process, scene: Scene, seconds: float = FROZEN_S) -> None:
    """SIGSTOP: connections stay open, and nobody answers."""
    for process in processes:
        process.freeze()
    scene.passes(seconds)
    for process in processes:
        process.thaw()


def an_ingester(scene: Scene) -> Process:
    return scene.cluster.in_zone("b")[0]


def a_lost_disk(scene: Scene) -> None:
    """It comes back with nothing; once it is repaired another one goes, and what it has is needed."""
    process = an_ingester(scene)
    process.kill()
    scene.passes(AWAY_S)
    shutil.rmtree(process.directory / "data")
    process.launch()
    scene.cluster.wait_for_ring()
    scene.passes(BACK_S)
    killed(*scene.cluster.in_zone("c"), scene=scene)


def each_role_once(scene: Scene) -> None:
    cluster = scene.cluster
    for process in (cluster.distributors[0], cluster.queriers[0], an_ingester(scene), cluster.compactor):
        killed(process, scene=scene, away_s=2)
        process.wait_until_ready()
    cluster.etcd.members[cluster.etcd.leader()].kill()
    scene.passes(2)


# ---- many at once ----


def a_zone(scene: Scene) -> None:
    """All that runs in it, the member of etcd, too."""
    cluster = scene.cluster
    members = [m for m, zone in zip(cluster.etcd.members, cluster.shape.zones, strict=True) if zone == "a"]
    there = [one for one in cluster.processes() if cluster.zone_of(one) == "a"]
    killed(*there, *members, scene=scene, away_s=2 * AWAY_S)


def two_zones(scene: Scene) -> None:
    lost = [*scene.cluster.in_zone("a"), *scene.cluster.in_zone("c")]
    for process in lost:
        process.kill()
    time.sleep(AWAY_S)
    for process in lost:
        process.launch()


def everything(scene: Scene) -> None:
    """A power failure of all machines; then they come in any order."""
    everybody = [*scene.cluster.processes(), *scene.cluster.etcd.members]
    for process in everybody:
        process.kill()
    for process in everybody:
        process.launch()


# ---- etcd ----


def etcd_leader(scene: Scene) -> None:
    members = scene.cluster.etcd.members
    killed(members[scene.cluster.etcd.leader()], scene=scene)


def etcd_leader_frozen(scene: Scene) -> None:
    frozen(scene.cluster.etcd.members[scene.cluster.etcd.leader()], scene=scene)


def etcd_away(scene: Scene) -> None:
    """For minutes; one of each role is started anew meanwhile, from what it has on its disk."""
    cluster = scene.cluster
    for member in cluster.etcd.members:
        member.kill()
    scene.passes(OUTAGE_S / 2)
    for process in (an_ingester(scene), cluster.distributors[1], cluster.queriers[1]):
        process.kill()
        process.start(timeout_s=60)
    scene.passes(OUTAGE_S / 2)
    cluster.etcd.start()


def leases_end(scene: Scene) -> None:
    assert scene.cluster.etcd.end_leases() >= len(list(scene.cluster.processes())) - 1
    scene.passes(AWAY_S)


def compaction_during_a_watch(scene: Scene) -> None:
    """A querier, a distributor and an ingester sleep while the ring changes and history goes."""
    cluster = scene.cluster
    asleep = (cluster.queriers[1], cluster.distributors[1])
    for process in asleep:
        process.freeze()
    cluster.add_ingester("c").wait_until_ready(90)
    wait_until(
        lambda: cluster.states().get("ingester-c-1") == "ACTIVE", 90, lambda: f"no join: {cluster.told()}"
    )
    cluster.etcd.end_leases()
    cluster.etcd.compact()
    for process in asleep:
        process.thaw()


def etcd_wiped(scene: Scene) -> None:
    etcd = scene.cluster.etcd
    for member in etcd.members:
        member.kill()
    etcd.wipe()
    scene.passes(AWAY_S)
    etcd.start()


# ---- growing and shrinking ----


def rolling_restart(scene: Scene) -> None:
    cluster = scene.cluster
    for process in cluster.ingesters.values():
        assert process.terminate() == 0
        process.start(timeout_s=60)
        cluster.wait_for_ring()
        scene.passes(BACK_S)


def grow_and_shrink(scene: Scene) -> None:
    """3 -> 6 -> 3, all zones at once."""
    cluster = scene.cluster
    for zone in cluster.shape.zones:
        cluster.add_ingester(zone)
    cluster.wait_for_ring()
    scene.passes(AWAY_S)
    leaving = [f"ingester-{zone}-1" for zone in cluster.shape.zones]
    with ThreadPoolExecutor(len(leaving)) as pool:
        assert list(pool.map(cluster.remove_ingester, leaving)) == [0] * len(leaving)


def join_and_kill(scene: Scene) -> None:
    """One joins, and in the middle of it another zone's dies, then the one that joins."""
    cluster = scene.cluster
    newcomer = cluster.add_ingester("a")
    wait_until(lambda: newcomer.name in cluster.states(), 60, lambda: f"it does not join: {cluster.told()}")
    other = an_ingester(scene)
    other.kill()
    scene.passes(2)
    other.start(timeout_s=60)
    scene.passes(BACK_S)
    newcomer.kill()
    scene.passes(2)
    newcomer.launch()


# ---- by chance ----


def many_by_chance(scene: Scene) -> None:
    """One after the other, as soon as all is as before; a seed that fails fails again."""
    seed = int(os.environ.get("E2E_SEED", random.randrange(2**32)))
    print(f"seed {seed}")
    choice = random.Random(seed)
    for _ in range(ROUNDS):
        one_by_chance(scene, choice)
        scene.cluster.wait_for_ring()
        scene.passes(BACK_S)


def one_by_chance(scene: Scene, choice: random.Random) -> None:
    cluster, away_s = scene.cluster, choice.choice((0, 2, 8))
    someone = choice.choice([*cluster.processes(), *cluster.etcd.members])
    added = sorted(name for name in cluster.ingesters if not name.endswith("-0"))
    what = choice.choice(
        ["kill", "freeze", "end", "leases", "compact", "grow", "shrink" if added else "grow"]
    )
    print(f"{what} {someone.name} {away_s} s, {', '.join(sorted(cluster.ingesters))}", flush=True)
    if what == "kill":
        killed(someone, scene=scene, away_s=away_s)
    elif what == "freeze" and someone not in cluster.distributors:
        frozen(someone, scene=scene, seconds=away_s)
    elif what == "leases":
        cluster.etcd.end_leases()
    elif what == "compact":
        cluster.etcd.compact()
    elif what == "grow" and len(cluster.ingesters) < 6:
        newcomer = cluster.add_ingester(choice.choice(cluster.shape.zones))
        time.sleep(choice.uniform(0, 2))
        killed(newcomer, scene=scene, away_s=away_s)
    elif what == "shrink":
        assert cluster.remove_ingester(choice.choice(added)) == 0
    else:
        someone.terminate()
        someone.launch()


# ---- the trials ----

TRIALS = [
    Trial("every role killed once, and etcd's leader", each_role_once),
    Trial("an ingester killed", lambda s: killed(an_ingester(s), scene=s)),
    Trial("an ingester killed, and its disk gone", a_lost_disk),
    Trial("a distributor killed", lambda s: killed(s.cluster.distributors[0], scene=s)),
    Trial("a querier killed", lambda s: killed(s.cluster.queriers[0], scene=s)),
    Trial("the compactor killed", lambda s: killed(s.cluster.compactor, scene=s)),
    Trial("an ingester frozen", lambda s: frozen(an_ingester(s), scene=s)),
    Trial(
        "a distributor frozen", lambda s: frozen(s.cluster.distributors[0], scene=s), Promise(writes=False)
    ),
    Trial("a querier frozen", lambda s: frozen(s.cluster.queriers[0], scene=s)),
    Trial("the compactor frozen", lambda s: frozen(s.cluster.compactor, scene=s)),
    Trial(
        "two ingesters of one zone killed",
        lambda s: killed(*s.cluster.in_zone("b"), scene=s),
        shape=Shape(ingesters=2),
    ),
    Trial("a whole zone killed", a_zone),
    Trial("ingesters of two zones killed", two_zones, NOTHING),
    Trial("everything killed", everything, NOTHING),
    Trial("a member of etcd killed", lambda s: killed(s.cluster.etcd.members[1], scene=s)),
    Trial("etcd's leader killed", etcd_leader),
    Trial("etcd's leader frozen", etcd_leader_frozen),
    Trial("all of etcd away", etcd_away),
    Trial("all leases end", leases_end),
    Trial("etcd compacted during a watch", compaction_during_a_watch, Promise(writes=False)),
    Trial("etcd wiped", etcd_wiped),
    Trial("rolling restart of the ingesters", rolling_restart),
    Trial("3, 6, 3 ingesters", grow_and_shrink),
    Trial("a join and two kills", join_and_kill),
    Trial("many by chance, one after the other", many_by_chance),
]
SHORT, *LONG = TRIALS


@pytest.fixture(scope="module")
def rows() -> Iterator[list[Row]]:
    """What the trials found; written where the caller of the run says."""
    found: list[Row] = []
    yield found
    page = os.environ.get("FAULTS_PAGE")
    if page:
        write_rows(Path(page), found)


def test_every_role_may_die(tmp_path: Path, rows: list[Row]) -> None:
    rows.append(tried(SHORT, tmp_path))


@pytest.mark.faults
@pytest.mark.parametrize("trial", LONG, ids=lambda trial: trial.name.replace(" ", "-"))
def test_nothing_is_lost_and_nothing_wrong(trial: Trial, tmp_path: Path, rows: list[Row]) -> None:
    rows.append(tried(trial, tmp_path))


def tried(trial: Trial, directory: Path, network: Network | None = None) -> Row:
    cluster = LocalCluster(directory, trial.shape, settings=SETTINGS, network=network or Loopback())
    return try_fault(trial.name, cluster, trial.fault, trial.promise)


@pytest.mark.faults
def test_a_zone_is_cut_off(tmp_path: Path, rows: list[Row]) -> None:
    """The side with two zones goes on; the other one says that it cannot. Packets vanish where this user may
    make that so, else connections break."""
    with Zones(THREE.zones) if may_make_namespaces() else CutProxies() as network:

        def fault(scene: Scene) -> None:
            network.isolate("b")
            scene.passes(FROZEN_S)
            network.heal()

        here = Promise(writes=False, but_at=frozenset({"querier-0"}))
        rows.append(tried(Trial("a zone cut off", fault, here), tmp_path, network))


@pytest.mark.faults
@pytest.mark.skipif(not may_make_namespaces(), reason="network namespaces need root")
def test_a_zone_hears_and_is_not_heard(tmp_path: Path, rows: list[Row]) -> None:
    with Zones(THREE.zones) as network:

        def fault(scene: Scene) -> None:
            for other in ("a", "b"):
                network.cut("c", other)
            scene.passes(FROZEN_S)
            network.heal()

        here = Promise(writes=False, but_at=frozenset({"querier-1"}))
        rows.append(tried(Trial("a zone hears and is not heard", fault, here), tmp_path, network))


@pytest.mark.faults
def test_clocks_are_minutes_apart(tmp_path: Path, rows: list[Row]) -> None:
    """An ingester's is ahead, a distributor's and a querier's behind, and all are set right under traffic."""
    ahead, behind = SkewedClock(tmp_path / "ahead"), SkewedClock(tmp_path / "behind")
    cluster = LocalCluster(tmp_path / "cluster", settings=SETTINGS)
    for process, clock in (
        (cluster.ingesters["ingester-a-0"], ahead),
        (cluster.ingesters["ingester-b-0"], behind),
        (cluster.distributors[0], behind),
        (cluster.queriers[0], behind),
        (cluster.queriers[1], ahead),
    ):
        process.env |= clock.env

    def fault(scene: Scene) -> None:
        ahead.move_to(300)
        behind.move_to(-300)
        scene.passes(FROZEN_S)
        killed(scene.cluster.ingesters["ingester-a-0"], scene=scene)
        ahead.move_to(0)
        behind.move_to(0)

    rows.append(try_fault("clocks five minutes ahead and behind", cluster, fault, ALWAYS))


@pytest.mark.faults
def test_a_disk_is_full(tmp_path: Path, rows: list[Row]) -> None:
    cluster = LocalCluster(tmp_path, settings=SETTINGS)
    place = tmp_path / "ingester-b-0" / "data"
    place.mkdir(parents=True)
    with small_disk(place) as disk:

        def fault(scene: Scene) -> None:
            process = an_ingester(scene)
            disk.fill(process)
            scene.passes(FROZEN_S)
            disk.free(process)

        rows.append(try_fault("a full disk on an ingester", cluster, fault, ALWAYS))
