"""Several machines at one distributed step.

All of them run the same command on the same files, each with its own `rank`. The first carries the recipe out; the others wait for
the steps before a distributed one, start their share of its processes when its turn comes, and meet the first at `address`
(torchrun's static rendezvous). Nothing on disk knows how many there were: after a loss the same command goes on with fewer.
"""

from dataclasses import dataclass

from polyglot_lm.pipeline.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Nodes:
    """This machine, the `rank`-th of `count`; `address` is HOST:PORT of the first, as the others reach it."""

    count: int = 1
    rank: int = 0
    address: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.count:
            raise UserError(f"node_rank is {self.rank} of {self.count} nodes; number them from 0")
        if self.count > 1 and not self.address.rpartition(":")[2].isdecimal():
            raise UserError(f"rendezvous is {self.address!r}; with several nodes give HOST:PORT of the first, such as node1:29500")

    @property
    def first(self) -> bool:
        return self.rank == 0

    def torchrun_options(self) -> list[str]:
        if self.count == 1:
            return ["--standalone"]
        host, _, port = self.address.rpartition(":")
        return [f"--nnodes={self.count}", f"--node-rank={self.rank}", f"--master-addr={host}", f"--master-port={port}"]
