"""When we do it: the stages in order, the flows that arrange them, the schedules, and the `nightshift` command."""
