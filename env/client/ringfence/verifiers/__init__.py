"""The benchmark as a taskset of verifiers, for evaluations and for reinforcement learning: its id is `ringfence`."""

from ringfence.verifiers.taskset import RingfenceConfig, RingfenceData, RingfenceTask, RingfenceTaskset

__all__ = ["RingfenceConfig", "RingfenceData", "RingfenceTask", "RingfenceTaskset"]
