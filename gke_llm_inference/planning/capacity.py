"""What a pod requests and what a node has for pods: one measure, so that the two can be held against each other."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, order=True)
class Capacity:
    """GPUs, millicores, MiB of memory and GiB of ephemeral storage, as requested or as there is room for."""

    gpus: int = 0
    cpu_millicores: int = 0
    memory_mib: int = 0
    disk_gib: float = 0.0

    def fits(self, room: "Capacity") -> bool:
        """Whether the request finds its place in `room`."""
        return (
            self.gpus <= room.gpus
            and self.cpu_millicores <= room.cpu_millicores
            and self.memory_mib <= room.memory_mib
            and self.disk_gib <= room.disk_gib
        )

    def taken_from(self, room: "Capacity") -> "Capacity":
        """What is left of `room` beside the request."""
        return Capacity(
            gpus=room.gpus - self.gpus,
            cpu_millicores=room.cpu_millicores - self.cpu_millicores,
            memory_mib=room.memory_mib - self.memory_mib,
            disk_gib=room.disk_gib - self.disk_gib,
        )
