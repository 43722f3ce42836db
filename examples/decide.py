#!/usr/bin/env python3
"""Asks the permit index with nothing but Python's own ctypes.

    decide.py FOLDER RECIPIENT PURPOSE CATEGORY CONSUMER...

Looks for liblov where the system keeps its libraries, or where $LOV_LIBRARY says.
Ends with 0 when all are permitted, with 1 when one is not.
"""

import ctypes
import ctypes.util
import os
import sys


class Decision(ctypes.Structure):
    _fields_ = [("permit", ctypes.c_int32), ("reason", ctypes.c_int32), ("basis", ctypes.c_int32),
                ("law", ctypes.c_int32), ("activity", ctypes.c_int32),
                ("policy_version", ctypes.c_int32), ("consent", ctypes.c_int64),
                ("at", ctypes.c_int64), ("shard", ctypes.c_uint32),
                ("no_automated_decision", ctypes.c_uint32), ("reserved", ctypes.c_uint32 * 4)]


class Lov:
    """An open permit index. Threads may share it: ctypes lets other Python threads run meanwhile."""

    def __init__(self, path):
        name = os.environ.get("LOV_LIBRARY") or ctypes.util.find_library("lov") or "liblov.so.1"
        self.lib = lib = ctypes.CDLL(name)
        text, decision = ctypes.c_char_p, ctypes.POINTER(Decision)
        lib.lov_open.argtypes = [text, ctypes.POINTER(ctypes.c_void_p), text, ctypes.c_size_t]
        lib.lov_close.argtypes = [ctypes.c_void_p]
        lib.lov_close.restype = None
        lib.lov_decide.argtypes = [ctypes.c_void_p, text, text, text, text, ctypes.c_int64, decision]
        lib.lov_decide_many.argtypes = [ctypes.c_void_p, text, text, text, ctypes.POINTER(text),
                                        ctypes.c_size_t, ctypes.c_int64, decision]
        lib.lov_decide_many.restype = ctypes.c_size_t
        lib.lov_explain.argtypes = [ctypes.c_void_p, decision, text, ctypes.c_size_t]
        lib.lov_explain.restype = ctypes.c_size_t
        lib.lov_reason_name.argtypes = [ctypes.c_int]
        lib.lov_reason_name.restype = ctypes.c_char_p
        self.handle = ctypes.c_void_p()
        error = ctypes.create_string_buffer(256)
        if lib.lov_open(os.fsencode(path), ctypes.byref(self.handle), error, len(error)) != 0:
            raise OSError(error.value.decode())

    def decide(self, recipient, purpose, category, consumer):
        """A Decision; its `permit` is 1 or 0."""
        d = Decision()
        self.lib.lov_decide(self.handle, recipient.encode(), purpose.encode(), category.encode(),
                            consumer.encode(), 0, ctypes.byref(d))
        return d

    def decide_many(self, recipient, purpose, category, consumers):
        ids = (ctypes.c_char_p * len(consumers))(*[c.encode() for c in consumers])
        out = (Decision * len(consumers))()
        self.lib.lov_decide_many(self.handle, recipient.encode(), purpose.encode(),
                                 category.encode(), ids, len(consumers), 0, out)
        return list(out)

    def reason(self, decision):
        return self.lib.lov_reason_name(decision.reason).decode()

    def explain(self, decision):
        text = ctypes.create_string_buffer(4096)
        self.lib.lov_explain(self.handle, ctypes.byref(decision), text, len(text))
        return text.value.decode()

    def close(self):
        self.lib.lov_close(self.handle)
        self.handle = ctypes.c_void_p()


def main(arguments):
    if len(arguments) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    folder, recipient, purpose, category, *consumers = arguments
    try:
        lov = Lov(folder)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    decisions = lov.decide_many(recipient, purpose, category, consumers)
    for consumer, decision in zip(consumers, decisions):
        print(consumer, lov.explain(decision))
    lov.close()
    return 0 if all(d.permit for d in decisions) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
