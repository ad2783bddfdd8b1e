"""Text in many formats, from many places → chunks (cheap, in one pass) → pairs (in any process)."""

from dataservice.prepare.sources.chunk import CHUNK_BYTES, Chunk
from dataservice.prepare.sources.demo import write_demo_source
from dataservice.prepare.sources.parse import count_pairs, parse_chunk
from dataservice.prepare.sources.read import read_chunks

__all__ = [
    "CHUNK_BYTES",
    "Chunk",
    "count_pairs",
    "parse_chunk",
    "read_chunks",
    "write_demo_source",
]
