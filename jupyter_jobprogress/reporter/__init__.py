"""Job, track and ProgressReporter, and the thread that carries what they say to the store."""
