"""The same model behind other servers, each as its documentation has it; see `benchmarks.layouts`.

The modules run in an environment that lacks this repository's dependencies, so they import nothing
of it: `pipeline.py` is the plain way from a file to a vector, which all of them share.
"""
