"""What torch's caching allocator holds after weights were quantized while they were loaded, layer by layer.

vLLM sets max_split_size_mb to 20 while it loads weights (vllm-project/vllm#41268): a block of 20 MiB or more is then
never split. A tensor gets the whole of a freed block that is up to 20 MiB larger than what it asks for, as quantized
weights get the blocks of 16-bit weights that are freed. How much that is depends on the shapes alone, so it is computed
by doing the same (c10/cuda/CUDACachingAllocator.cpp; held against torch 2.11.0 on a GPU and runs of vLLM 0.26.0).
"""

from bisect import bisect_left, insort
from functools import lru_cache

_MIB = 2**20
_ROUND = 512
# Smaller requests come from segments of their own, which do not matter here.
_SMALL = _MIB
_LEAST_LARGE = 10 * _MIB
_LARGE_SEGMENT = 20 * _MIB
_SEGMENT = 2 * _MIB
# How much larger than asked a block may be that is not split.
_OVERSIZE = 20 * _MIB


class CachingAllocator:
    """Blocks of one GPU's memory, as torch hands them out and takes them back."""

    def __init__(self, split_limit: int | None) -> None:
        """An allocator without any memory.

        Args:
            split_limit: size in bytes from which blocks are not split; None where all are.

        """
        self._limit = split_limit
        self._free: list[tuple[int, int]] = []
        self._sizes: dict[int, int] = {}
        self._after: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._used: set[int] = set()
        self._next = 0
        self.allocated = 0
        """Bytes in blocks that are in use."""

    def allocate(self, size: int) -> int | None:
        """Take a block for so many bytes; None for what comes from a small segment."""
        size = -(-size // _ROUND) * _ROUND
        if size <= _SMALL:
            self.allocated += size
            return None
        block = self._cached(size)
        if block is None:
            block = self._next
            self._sizes[block] = _LARGE_SEGMENT if size < _LEAST_LARGE else -(-size // _SEGMENT) * _SEGMENT
            self._next += self._sizes[block]
        rest = self._sizes[block] - size
        if rest > _SMALL and (self._limit is None or size < self._limit):
            self._split(block, size)
        self._used.add(block)
        self.allocated += self._sizes[block]
        return block

    def release(self, block: int | None) -> None:
        """Give a block back; it joins free neighbors of its segment."""
        if block is None:
            return
        self.allocated -= self._sizes[block]
        self._used.discard(block)
        after, before = self._after.get(block), self._before.get(block)
        if after is not None and after not in self._used:
            self._join(block, after)
        if before is not None and before not in self._used:
            self._free.remove((self._sizes[before], before))
            self._join(before, block, of_free=False)
            block = before
        insort(self._free, (self._sizes[block], block))

    def _cached(self, size: int) -> int | None:
        """The smallest free block that may serve so many bytes, taken off the list."""
        index = bisect_left(self._free, (size, -1))
        if index == len(self._free):
            return None
        found, block = self._free[index]
        if self._limit is not None:
            unsplit = found >= self._limit
            if (size < self._limit and unsplit) or (size >= self._limit and found >= size + _OVERSIZE):
                return None
        del self._free[index]
        return block

    def _split(self, block: int, size: int) -> None:
        rest = block + size
        self._sizes[rest] = self._sizes[block] - size
        self._sizes[block] = size
        after = self._after.pop(block, None)
        self._after[block], self._before[rest] = rest, block
        if after is not None:
            self._after[rest], self._before[after] = after, rest
        insort(self._free, (self._sizes[rest], rest))

    def _join(self, block: int, after: int, *, of_free: bool = True) -> None:
        """Make one block of two neighbors."""
        if of_free:
            self._free.remove((self._sizes[after], after))
        self._sizes[block] += self._sizes.pop(after)
        self._before.pop(after, None)
        last = self._after.pop(after, None)
        if last is None:
            self._after.pop(block, None)
        else:
            self._after[block], self._before[last] = last, block


@lru_cache(maxsize=1024)
def quantized_on_load_waste(
    tables: tuple[int, ...], layer: tuple[int, ...], layers: int, own_bytes: int, split_limit: int | None
) -> int:
    """Bytes that tensors hold beyond what they ask for, once every layer was quantized to 8 bits as it was loaded.

    Args:
        tables: bytes of the tensors that are there before, such as the embedding.
        layer: weights of each matrix of a layer, in the order in which they are loaded.
        layers: layers.
        own_bytes: bytes of a weight before.
        split_limit: size in bytes from which blocks are not split; None where all are.

    """
    allocator = CachingAllocator(split_limit)
    for table in tables:
        allocator.allocate(table)
    for _ in range(layers):
        for weights in layer:
            own = allocator.allocate(weights * own_bytes)
            allocator.allocate(weights)
            allocator.release(own)
    return allocator.allocated - sum(tables) - layers * sum(layer)
