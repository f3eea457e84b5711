"""The commands: the one place that knows arguments, standard output and exit statuses.

Read ``main.py`` first.
"""
