"""Runs of scientific workflows as data folders: a table of jobs, and of the jobs of each worker a sequence.

`specs` names the workflows, `tables` reads their files, `published` writes the files of the publication byte for byte,
`split` holds runs, rows or a whole workflow back, `folder` puts the data folder together.
"""
