"""Schedulers: each translates between jobs and the commands of one batch system.

A new scheduler is a class in a file of this folder and a line in `registry`; `base` describes
the methods. Nothing in here runs a command or reads a file.
"""
