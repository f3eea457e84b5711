"""Headers of recordings, compared with the data that follow: WAV and its relatives, Ogg, MP3.

Read ``detect.py`` first.
"""
