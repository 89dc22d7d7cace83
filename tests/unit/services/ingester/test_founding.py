"""A ring is begun once in the life of a cluster."""

from __future__ import annotations

import msgspec
import pytest

from rondel.errors import Corruption
from rondel.model.tenant import is_tenant
from rondel.objstore import open_bucket
from services.ingester.founding import Founding, Note


async def test_only_the_first_may_begin_a_ring_and_may_do_so_again() -> None:
    founding = Founding(open_bucket("memory://"), "a/b")
    assert [await founding.may_found(owner) for owner in ("x", "y", "x")] == [True, False, True]


async def test_an_operator_may_name_others() -> None:
    founding = Founding(open_bucket("memory://"), "c")
    await founding.may_found("x")
    founding.bucket.put(founding.key, msgspec.json.encode(Note(["x", "y"])))
    assert await founding.may_found("y")


async def test_clusters_of_one_bucket_do_not_see_each_other() -> None:
    bucket = open_bucket("memory://")
    assert await Founding(bucket, "c").may_found("x")
    assert await Founding(bucket, "d").may_found("y")


async def test_a_note_that_cannot_be_read_is_no_permission() -> None:
    founding = Founding(open_bucket("memory://"), "c")
    founding.bucket.put(founding.key, b"{")
    with pytest.raises(Corruption):
        await founding.may_found("x")


def test_the_note_is_in_no_tenants_folder() -> None:
    assert not is_tenant(Founding(open_bucket("memory://"), "c").key.partition("/")[0])
