"""The commands of ``cssbench``: one module a family, each with its ``COMMANDS``. Found, not listed."""
