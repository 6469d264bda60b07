"""Log, owners, stores, history and view in one process, under schedules of faults that are drawn from seeds."""
