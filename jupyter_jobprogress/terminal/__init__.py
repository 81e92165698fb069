"""Jobs in the terminal or the log of the process that runs them."""
