"""``make dialect``: SQLAlchemy's own dialect suite, with the plugin and without it.

Run it as ``PYTHONPATH=tests python -m dialect``; ``--help`` says the rest.

suite         the tests, which are SQLAlchemy's
requirements  which of them are for MariaDB
setup.cfg     what SQLAlchemy's pytest plugin reads
outcomes      one run of the suite, and what became of each test
"""
