# SPDX-License-Identifier: MPL-2.0
# Copyright the denim authors
"""One client that sees all that matters of a cluster; run by the interpreter that is tried.

    python3 visit.py ADDRESS FOLDER

Prints who ran the tasks, and who it was itself, as JSON. The cluster has one slot, and FOLDER is
seen by both.
"""

import json
import os
import signal
import sys
import time

import sysapp

import denim

DEADLINE_S = 60


def main(address, folder):
    with denim.Client(address) as client:
        client = client.options(deadline=DEADLINE_S)
        assert client.call(sysapp.add, 2, 3) == 5
        doubled = list(client.map("sysapp:add", range(200), range(200)))
        assert doubled == [2 * i for i in range(200)]
        try:
            client.call(sysapp.raise_own)
        except sysapp.Own as error:
            assert error.args == ("mine", 1)
            assert "raise_own" in error.__cause__.traceback_text
        else:
            raise AssertionError("it did not raise")
        kill_a_slot(client, os.path.join(folder, "begun"))
        assert client.call(sysapp.add, 2, 3) == 5
        return client.call(sysapp.who)


def kill_a_slot(client, path):
    slot = client.call(sysapp.who)["pid"]
    future = client.submit(sysapp.touch_and_nap, path, 600)
    deadline = time.monotonic() + DEADLINE_S
    while not os.path.exists(path):
        assert time.monotonic() < deadline and not future.done()
        time.sleep(0.01)
    os.kill(slot, signal.SIGKILL)
    error = future.exception(DEADLINE_S)
    assert type(error) is denim.WorkerLost and error.signal == signal.SIGKILL


if __name__ == "__main__":
    print(json.dumps({"worker": main(*sys.argv[1:]), "client": sysapp.who()}))
