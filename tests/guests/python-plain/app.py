"""The contract guest in Python, on the bare bindings of componentize-py. What each mode does: ../README.md."""

import json
from array import array

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import data, description

END_OF_TIME = 2**63 - 1

# Set by `open`.
mode = None


def whole(values):
    """The int64 column of these Python numbers, none of them null."""
    return data.Column(validity=None, offsets=None, values=array("q", values).tobytes())


def bitmap(wanted):
    """A bitmap with a set bit for each true value."""
    bits = bytearray((len(wanted) + 7) // 8)
    for row, want in enumerate(wanted):
        if want:
            bits[row >> 3] |= 1 << (row & 7)
    return bytes(bits)


def emit(port, outcome):
    return data.Emission(port=port, rows=outcome)


def reply(outcome):
    return data.Reply(emissions=[emit(0, outcome)], cells=[], timers=[], entries=[])


def added(column):
    """All rows as they are, and this column."""
    return data.Outcome_Extend(data.Extension(take=None, columns=[data.NewColumn(index=0, column=column)]))


def port(name, shape):
    return description.Port(name=name, shape=shape, event_times=False)


def int64(name):
    return data.Field(name=name, data_type="int64", nullable=False)


class Guest(exports.Guest):
    def describe(self, config, inputs):
        mode = json.loads(config).get("mode")
        passing = description.Shape_Pass(0)
        extending = lambda name: description.Shape_Extend(description.Extended(input=0, columns=[int64(name)]))
        text = data.Field(name="text", data_type="utf8", nullable=False)
        ports = {
            "keep": [port("out", passing)],
            "map": [port("out", extending("twice"))],
            "running": [port("out", extending("count")), port("totals", description.Shape_Key([int64("total")]))],
            "sum": [port("out", description.Shape_New([int64("sum"), text]))],
            "fail": [port("out", passing)],
        }
        if mode not in ports:
            raise Err(f"mode `{mode}` is not known")
        counting = mode == "running"
        cell = description.Cell(
            name="count",
            kind="value",
            data_type="int64",
            ttl_ms=None,
            version=1,
            sub_key=None,
            encoding=None,
            ttl_domain=data.TimeDomain.PROCESSING_TIME,
            renamed_from=None,
        )
        return description.Descriptor(
            inputs=[description.Reads(columns=[] if counting else ["a"], keyed=counting, event_times=False)],
            ports=ports[mode],
            cells=[cell] if counting else [],
            timers=counting,
            notices=description.Notices(0),
            extra=[],
        )

    def open(self, context):
        global mode
        mode = json.loads(context.config)["mode"]

    def process(self, input, rows, groups, state):
        if mode == "running":
            return count(groups, state[0])
        numbers = memoryview(rows.columns[0].values).cast("q")
        if mode == "keep":
            return reply(data.Outcome_Keep(bitmap([n % 2 == 0 for n in numbers])))
        if mode == "map":
            return reply(added(whole([n * 2 for n in numbers])))
        if mode == "sum":
            text = f"{rows.count} rows".encode()
            offsets = array("I", [0, len(text)]).tobytes()
            columns = [whole([sum(numbers)]), data.Column(validity=None, offsets=offsets, values=text)]
            return reply(data.Outcome_Replace(data.Rows(count=1, event_times=None, columns=columns)))
        for row, n in enumerate(numbers):
            if n < 0:
                raise Err(data.Failure(fatal=False, row=row, message=f"{n} is negative"))
        return reply(data.Outcome_Unchanged())

    def on_timers(self, domain, due, groups, state):
        totals = memoryview(state[0].values).cast("q")
        of_row = memoryview(groups.of_row).cast("I")
        cleared = data.Column(validity=bytes((groups.count + 7) // 8), offsets=None, values=bytes(8 * groups.count))
        return data.Reply(
            emissions=[emit(1, added(whole([totals[group] for group in of_row])))],
            cells=[data.CellUpdate_All(cleared)],
            timers=[],
            entries=[],
        )

    def on_notice(self, notice):
        raise Err(data.Failure(fatal=True, row=None, message="no notice was asked for"))


def count(groups, cell):
    """Counts the rows of each key, one by one; an absent count is 0 and starts the key's timer."""
    counts = list(memoryview(cell.values).cast("q"))
    fresh = [group for group, n in enumerate(counts) if n == 0]
    running = []
    for group in memoryview(groups.of_row).cast("I"):
        counts[group] += 1
        running.append(counts[group])
    timers = data.TimerChanges(
        domain=data.TimeDomain.EVENT_TIME,
        action=data.TimerAction.SET,
        groups=array("I", fresh).tobytes(),
        times=array("q", [END_OF_TIME] * len(fresh)).tobytes(),
    )
    return data.Reply(
        emissions=[emit(0, added(whole(running)))],
        cells=[data.CellUpdate_All(whole(counts))],
        timers=[timers] if fresh else [],
        entries=[],
    )
