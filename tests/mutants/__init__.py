"""Whether the tests notice when a line of the core is changed: mutation testing, room by room.

``python -m mutants`` changes one thing in a copy of the checkout, such as an operator, a number or
a statement, and runs the tests of that room: if one fails, the mutant is killed. A mutant that
survives is a line that no test holds to what it promises, or a change that no caller can observe.
The latter are listed in ``equivalent.toml``, each with its reason.

The operators are cosmic-ray's, and a few of our own in ``operators``. Its command is not used, as
it takes no sample, and starts Python anew for each mutant.
"""
