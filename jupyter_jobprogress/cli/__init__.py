"""``jupyter jobprogress``: one file for each command, loaded when it is called."""
