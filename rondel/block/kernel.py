"""The door to the native half of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondel._native import BlockEncoder, BlockIndex, ExemplarPlan, ReadPlan, crc32c, describe_page

if TYPE_CHECKING:
    from rondel._native import ExemplarArrays as ExemplarArrays
    from rondel._native import FrameArrays as FrameArrays

__all__ = ["BlockEncoder", "BlockIndex", "ExemplarPlan", "ReadPlan", "crc32c", "describe_page"]
