"""``make programs``: programs of others, each with the plugin in its database URL.

Run it as ``PYTHONPATH=tests python -m programs``; ``--help`` says the rest.

jobs          one script for each program: what it is, what to write, its main job
metadata      what a job says about its program
environments  uv, with the package indexes of pip: an environment for each program
turns         one program works at a time, others wait for their keys to expire meanwhile
emulated      the database and the account of one program, and whether its logins were good
control       where a job asks for the rollover
execution     one program from its environment to its result
display       what is shown meanwhile
results       what the last run of each program found
page          docs/programs.md
"""
