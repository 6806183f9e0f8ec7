"""The tasks that the benchmarks call."""


def add(x, y):
    return x + y


def echo(value):
    return value
