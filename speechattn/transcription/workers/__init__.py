"""Where recordings are transcribed: in this process, in processes, on a Ray cluster.

Read ``pool.py`` first.
"""
