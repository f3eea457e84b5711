"""What attention and dense layers compute on CPUs, compiled for the processor by Numba and LLVM.

Read ``window.py`` first: attention in a window. Nothing here knows layers or masks.
"""
