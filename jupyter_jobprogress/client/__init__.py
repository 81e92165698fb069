"""Following jobs from Python and from the terminal, over whatever store they report to."""
