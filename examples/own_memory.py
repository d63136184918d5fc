"""A memory policy of your own: remember the prompts and every tenth frame. own_memory.py VIDEO X0,Y0,X1,Y1"""

import sys

from trocar import Box, Session, load, open_source
from trocar.memory.seam import PolicySpec, ReadPlan, SpatialItem, best_candidate


class EveryTenth:
    spec = PolicySpec()

    def __init__(self):
        self.prompted, self.kept = {}, {}  # time -> entry

    def read(self, visit, query):
        newest = sorted(self.kept, key=visit.distance)[:6]
        items = [SpatialItem(entry, 6) for entry in self.prompted.values()]
        items += [SpatialItem(self.kept[time], slot) for slot, time in enumerate(newest)]
        return [ReadPlan(tuple(items))]

    def choose(self, visit, candidates):
        return best_candidate(candidates)

    def write(self, visit, records):
        entry = records[0].entry
        if entry.role == "prompted":
            self.prompted[entry.time] = entry.id
        elif entry.time % 10 == 0:
            self.kept = dict(list(self.kept.items())[-5:]) | {entry.time: entry.id}

    def live(self):
        return {*self.prompted.values(), *self.kept.values()}


session = Session(load("nano"), open_source(sys.argv[1]), memory=EveryTenth())
session.add(Box(*(float(value) for value in sys.argv[2].split(","))))
print([int(made.masks[1].sum()) for made in session.propagate()])
