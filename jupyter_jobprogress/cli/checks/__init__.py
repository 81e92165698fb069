"""What ``jupyter jobprogress doctor`` looks at, one file for each thing."""
