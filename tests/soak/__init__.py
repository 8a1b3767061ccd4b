"""``make soak``: steady load, a fault every few seconds, every failed connect judged.

Run it as ``PYTHONPATH=tests python -m soak``; ``--help`` says the rest.

account    the AWS of each client process: roles, services, and what was asked of them when
cast       who plays: the client processes, their drivers, pools, loops and identities
client     a client process
workers    the connects that a client process makes
meter      what a client process writes down about itself
actors     the client processes as seen from outside: start, command, freeze, end
faults     what goes wrong, and when
failovers  a cluster whose writer changes, with clients that write to it all the time
judge      which failure had a fault to excuse it, and what else must not happen
evidence   what the processes wrote down, read back
report     tables

What the tests of forks and frozen processes run: ``children``, ``importing``, ``obedient``,
``servers``, and the applications ``web`` and ``tasks``.
"""
