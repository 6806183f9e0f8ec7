"""The tasks that the benchmarks call."""

import time


def add(x, y):
    return x + y


def echo(value):
    return value


def rest(seconds, ballast=None):
    """Hold a slot and no CPU: so a few cores stand for any number of slots."""
    time.sleep(seconds)
