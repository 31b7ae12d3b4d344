"""The grid as a workflow: a Snakefile that reads a plan, and a profile for each kind of machine."""
