"""Messages, statuses, names, estimates and tickets. Pure: no I/O, no await, no clock of its own."""
